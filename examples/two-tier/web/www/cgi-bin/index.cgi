#!/bin/sh
# The page. One visit more is noted in the store tier.
if count=$(wget -q -O- "$STORE/cgi-bin/hit"); then
  text="Visits so far: $count."
else
  echo "Status: 503 Service Unavailable"
  text="The store does not answer."
fi

cat <<PAGE
Content-Type: text/html; charset=utf-8
Cache-Control: no-store

<!doctype html>
<html lang="en">
<head><title>$GREETING</title></head>
<body>
<h1>$GREETING</h1>
<p>$text</p>
</body>
</html>
PAGE
