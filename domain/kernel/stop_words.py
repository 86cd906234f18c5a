"""Frequent function words of the languages whose words are stemmed.

A query may leave them out, and their number in a text tells its language. Each list holds the
most frequent words only, in the form of `text_analysis.fold`.

Some are spelled like a thing, a trade, a tool or a language of another language: `van`, `door`,
`care`. Those count as function words only beside others of their own language.
"""

from collections.abc import Mapping

_LISTS: Mapping[str, str] = {
    "en": """
a about all also am an and any are as at be been but by can could did do does don for from had has
have he her here him his how i if in into is it its just ll me more my no nor not of on or our out
over own re s she should so some such t than that the their them then there these they this those
through to too under until up ve very was we were what when where which while who whom why will
with would you your need needs want looking
""",
    "de": """
aber als am an auch auf aus bei bin bis das dass dem den der des die diese dieser doch du ein eine
einem einen einer er es fur haben hat hier ich ihr im in ist ja kann mein meine meinem meinen meiner
mit muss nach nicht noch nur oder sehr sein sich sie sind soll sollen suche suchen uber um und uns
unser unsere vom von vor war was wegen wenn werden wie wir wird zu zum zur
""",
    "fr": """
a au aux avec avoir ce ces cette dans de des du elle en est et etre faire il j je l la le les leur
ma mais me mes mon n ne nos notre nous on ou par pas plus pour qu que qui sa sans se ses son sont
sur tout un une vos votre vous d cherche besoin
""",
    "es": """
a al algo como con de del desde donde el ella en entre es esta estan este esto fue ha hay la las le
les lo los mas me mi mis muy necesito no nos nuestra nuestro o para pero por que se si sin sobre son
su sus tambien tengo un una uno y ya busco
""",
    "it": """
a abbiamo agli ai al alla alle anche c che chi ci come con cosa cui da dal dalla dei del della delle
di e gli ha ho i il in io la le lo ma mi mia mio ne nel nella non o per piu quella questa questo se
si sono su sua suo sul un una uno vorrei cerco
""",
    "pt": """
a ao aos as com como da das de do dos e ela ele em entre essa esta este eu foi ha isso ja mais mas
meu minha muito na nao nas no nos nossa nosso o os ou para pela pelo por preciso que quem se sem ser
seu sua tem um uma
""",
    "nl": """
aan als bij dan dat de deze die dit door een en er geen had heb hebben heeft het hij hoe ik in is
je kan maar me met mijn moet naar niet nog of om onze ons ook op over te tot uit van veel voor waar
was wat we wel wij worden wordt zijn zo zoek
""",
    "sv": """
alla att av behover den det din du eller en ett for fran han har hon i inte jag kan med men min mitt
nar och om pa ska som till var vi
""",
    "pl": """
aby ale bardzo bez byc ci co czy dla do go i ich ja jak jest jestem juz lub ma mam mi mnie moje moj
na nie nas nasz o od oraz po potrzebuje przez przy sa sie szukam tak to w we z za ze
""",
    "cs": """
a aby ale bez byt co do hledam i jak jako je jsem jsme k ke kde ma mam me mi na nas nebo nebo o od
po potrebuji pro pri s se si to u v ve z za ze
""",
    "tr": """
ama bana ben beni bir biraz bu bunu cok da daha de degil en evim gibi hem icin ile istiyorum kadar
ki mi ne o olarak olan var ve veya ya
""",
    "ro": """
a ai al ale am ar are au ca caut care cat ce cu da de din dupa este eu fi in la mai mea meu mi
nevoie noi nostru nu o pe pentru prin sa sau se si sunt un unde unei unui vreau
""",
    "ru": """
а без бы был быть в вам вас во все вы для до его ее если есть еще же за и из или им их к как ко
когда кто ли мне мой моя мы на над надо не нет но ну нужен нужна нужно о об он она они от по под при
с со так там то только у уже что чтобы это я
""",
    "el": """
αλλα αν απο για δεν εγω ειμαι ειναι εμας ενα εναν ενας ετσι εχω η θα και κατα με μεσα μετα μη μια
μου να ο οι οπως οταν οτι προς πρεπει σας σε στη στην στο στον τα της τη την τι το τον του των ψαχνω
""",
    "ar": """
ان او الى انا اي التي الذي بعد بين حتى عن على غير في قبل كان كل كما لا لم لي ليس ما مع من هذا هذه هو
هي و يا
""",
    "hi": """
और इस एक का की के को कि जो तक तो था थी थे नहीं ने पर भी में मैं मुझे यह या ये लिए वह से हम है हैं हो चाहिए
""",
}

STOP_WORDS: Mapping[str, frozenset[str]] = {
    language: frozenset(words.split()) for language, words in _LISTS.items()
}
FREQUENT = frozenset().union(*STOP_WORDS.values())
# As they are written, so `fur` and `pa` are here, and für and på are not. Words that short queries
# of their language often have without another function word stay out: die, den, till, av, med.
_AMBIGUOUS = """
ale ar bin byt c ca care cat ce ci co dans door eu fi fur go hat hay hem hoe it men nas pa pe plus
pro sem som son tak uber van war will
"""
AMBIGUOUS = frozenset(_AMBIGUOUS.split())
# Function words that are abbreviations of a trade or technique when they are in capitals.
_ABBREVIATIONS = "ar av ca ce ci co dos eu it nas os pa pe sem"
ABBREVIATIONS = frozenset(_ABBREVIATIONS.split())
