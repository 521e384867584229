"""Which module holds which function, so that a module is loaded when one of its functions is first used."""

from __future__ import annotations

_BY_FAMILY = {
    "numeric": "abs ceil floor log max min parseint pow signum sum",
    "string": (
        "chomp endswith indent join lower replace split startswith strcontains strrev substr title trim "
        "trimprefix trimspace trimsuffix upper"
    ),
    "regexp": "regex regexall",
    "formatting": "format formatlist",
    "template": "templatefile templatestring",
    "collection": (
        "chunklist compact contains distinct element flatten index keys length lookup matchkeys one reverse "
        "slice sort values"
    ),
    "combining": "coalesce coalescelist concat merge range zipmap",
    "sets": "alltrue anytrue setintersection setproduct setsubtract setunion transpose",
    "encoding": (
        "base64decode base64encode base64gunzip base64gzip csvdecode textdecodebase64 textencodebase64 "
        "urldecode urlencode"
    ),
    "json": "jsondecode jsonencode",
    "yaml": "yamldecode yamlencode",
    "filesystem": (
        "abspath basename dirname file filebase64 filebase64sha256 filebase64sha512 fileexists filemd5 "
        "fileset filesha1 filesha256 filesha512 pathexpand"
    ),
    "date": "formatdate plantimestamp timeadd timecmp timestamp",
    "crypto": "base64sha256 base64sha512 bcrypt md5 rsadecrypt sha1 sha256 sha512 uuid uuidv5",
    "network": "cidrcontains cidrhost cidrnetmask cidrsubnet cidrsubnets",
    "conversion": (
        "can convert ephemeralasnull issensitive nonsensitive sensitive tobool tolist tomap tonumber toset tostring "
        "try type"
    ),
    "assumptions": (
        "assumeequal assumelistlength assumelistlengthmax assumelistlengthmin assumemaplength assumemaplengthmax "
        "assumemaplengthmin assumenotnull assumesetlength assumesetlengthmax assumesetlengthmin assumestringprefix"
    ),
}

FAMILIES = {name: family for family, members in _BY_FAMILY.items() for name in members.split()}
"""Function names and the modules of this package that declare them."""
