"""Words for names that people can remember: short, kind, and different in sound."""

_ADVERBS = """
always barely boldly briefly brightly calmly clearly daily dearly duly early easily evenly fairly firmly
freely fully gently gladly happily highly keenly kindly largely lightly likely luckily mainly merrily mildly
mostly nearly neatly newly nicely openly partly plainly proudly purely quickly quietly rarely readily really
safely simply slowly smoothly softly solely steadily surely sweetly swiftly truly warmly wholly widely wisely
"""

_ADJECTIVES = """
able amber ample apt azure bold brave bright brisk calm careful cheery civil clean clear clever coral cosy
crisp curious dapper daring deep eager early easy elegant fair famous fine firm fond free fresh frosty gentle
glad golden good grand green happy hardy helpful honest humble ideal jolly keen kind large light lively loyal
lucky mellow merry mild modest neat new nimble noble open patient plain polite prime proud pure quick quiet
rapid rare ready rich robust rosy round safe sharp silent silver simple smart smooth snowy solid sound spry
stable steady still sturdy sunny sure swift tall tender tidy true trusty upright vast vivid warm wise witty
young
"""

_NAMES = """
adder albatross ant badger bat bear beaver bee beetle bison boar buck bunting buzzard camel carp cat civet cod
condor coot crab crane cricket crow cuckoo curlew deer dingo dolphin dove duck eagle eel egret eider elk
falcon ferret finch flea fox frog gannet gecko gibbon goat goose grebe grouse gull hare harrier hawk hedgehog
heron herring hornet horse ibex ibis jackdaw jay kestrel kite koala krill lapwing lark lemming leopard linnet
lion llama lobster lynx magpie mallard marmot marten mink mole moose moth mouse newt ocelot okapi orca osprey
otter owl ox oyster panda perch pigeon pike plover pony puffin puma quail rabbit raven ray robin rook ruff
salmon seal shrew shrike skua skylark snail snipe sparrow spider squid stag starling stoat stork swan swift
tapir teal tern thrush tiger toad trout tuna turtle viper vole walrus wasp weasel whale wolf wombat wren yak
zebra
"""

ADVERBS = tuple(_ADVERBS.split())
ADJECTIVES = tuple(_ADJECTIVES.split())
NAMES = tuple(_NAMES.split())
