"""Lists of English words that the guard compares by: synonyms, opposites, scope, dates, units; knows no sentences.

The lists are general ones (support desks, travel, shops, money, software, everyday questions), written by hand. Words
not listed are compared by their form alone.
"""


def _split(text: str) -> list[str]:
    return text.split()


def listed(text: str) -> frozenset[str]:
    """The words of a text as a set."""
    return frozenset(_split(text))


FUNCTION = listed(
    """a an the this that these those there here it its i me my mine myself we us our ours you your yours he she
    him his her hers they them their theirs is are am was were be been being isn do does did done doing have has
    had having will would shall should can could may might must of to in on at by for from with into onto about
    as than then so if or and but nor yet both either whether which who whom whose what when where why how that
    such very too also just really up down out off over under again please s t d ll re ve m let lets get got
    want wanna need like would know tell say show give explain describe help make way ways possible able via per
    ever still actually currently now right im ive id whats hows wheres whos whens thats theres youre theyre
    dont not go going gonna within during upon while because since until though although using use used there's
    exactly one ones thing things something anything someone anyone somebody anybody some any few many much more
    most less least lot lots kindly maybe perhaps simply quickly easily um uh er erm hmm oh ah yeah yep yes ok
    okay hey hi hello thanks thank cheers pls plz sorry guys folks wonder wondering hope hoping try trying looking
    question questions info information detail details appreciate appreciated advance mate dear sir madam asap"""
)
"""Words that carry no topic: a difference in them alone is judged by the other lists or not at all."""

FILLERS = listed(
    """um uh er erm hmm oh ah yeah yep ok okay hey hi hello thanks thank cheers pls plz please kindly sorry guys
    folks just actually really basically simply currently now ever exactly"""
)
"""Dropped before anything is compared."""

NEGATIONS = listed(
    """not never no without none nothing nobody nowhere neither nor cannot unable dont doesnt didnt cant couldnt
    wont wouldnt isnt arent wasnt werent havent hasnt hadnt shouldnt mustnt aint non"""
)
STOPPERS = listed(
    """avoid stop prevent quit skip exclude forbid prohibit ban refuse block omit lack fail decline reject ignore
    remove undo reverse cancel"""
)  # fmt: skip
"""Verbs that turn a request round when they are added to it and replace nothing."""

STRONG_SCOPE = listed(
    """only sole solely except excluding apart besides first last final next previous prior latest former original
    max min half double else other another least most best worst average total combined alone"""
)
"""One of these on one side only changes what is asked."""
SCOPE_CLASSES = {
    word: kind
    for kind, words in {
        "all": "all every each everyone everybody everything whole always entire",
        "some": "some any several few someone anyone something anything sometimes either",
        "both": "both",
        "own": "own myself himself herself personal personally",
        "many": "many multiple bulk",
        "rarely": "rarely seldom hardly",
        "often": "often usually frequently",
        "single": "single individual",
    }.items()
    for word in words.split()
}
"""Words of scope that contradict when both sides have one of another class."""

WEEKDAYS = {
    form: day
    for day, forms in {
        "monday": "monday mondays mon", "tuesday": "tuesday tuesdays tue tues", "wednesday": "wednesday wednesdays wed",
        "thursday": "thursday thursdays thu thur thurs", "friday": "friday fridays fri",
        "saturday": "saturday saturdays sat", "sunday": "sunday sundays sun",
    }.items()
    for form in forms.split()
}  # fmt: skip
MONTHS = {
    form: month
    for month, forms in {
        "january": "january jan", "february": "february feb", "march": "march mar", "april": "april apr", "may": "may",
        "june": "june jun", "july": "july jul", "august": "august aug", "september": "september sep sept",
        "october": "october oct", "november": "november nov", "december": "december dec",
    }.items()
    for form in forms.split()
}  # fmt: skip
AMBIGUOUS_DATES = listed("may march mar jun sep sat sun mon wed fri thu")
"""Dates only when capitalised inside a sentence or next to a number or to in, of, by, until, since, on, last, next."""
DAYS = listed("""tomorrow yesterday tonight weekend weekends weekday weekdays midnight noon midday christmas easter""")

UNITS = {
    form: (dimension, unit.partition(",")[0])
    for dimension, units in {
        "time": "ms,millisecond,milliseconds|sec,secs,second,seconds|minute,minutes,mins|hour,hours,hr,hrs,hourly"
        "|day,days,daily"
        "|week,weeks,weekly,wk|fortnight,fortnights,fortnightly|month,months,monthly"
        "|year,years,yearly,annual,annually,annum,yr,yrs|quarter,quarters,quarterly|decade,decades|century,centuries",
        "length": "mm,millimetre,millimetres,millimeter,millimeters|cm,centimetre,centimetres,centimeter,centimeters"
        "|metre,metres,meter,meters|km,kms,kilometre,kilometres,kilometer,kilometers|inch,inches|feet|yard,yards"
        "|mile,miles",
        "mass": "mg,milligram,milligrams|mcg,microgram,micrograms|g,gram,grams,gramme,grammes"
        "|kg,kgs,kilo,kilos,kilogram,kilograms|lbs|oz,ounce,ounces|tonne,tonnes|ton,tons",
        "volume": "ml,millilitre,millilitres,milliliter,milliliters|litre,litres,liter,liters|gallon,gallons|pint,pints"
        "|cup,cups|tablespoon,tablespoons,tbsp|teaspoon,teaspoons,tsp",
        "temperature": "celsius,centigrade|fahrenheit|kelvin",
        "currency": "$,usd,dollar,dollars,bucks|€,eur,euro,euros|£,gbp,pound,pounds,quid,sterling|¥,jpy,yen|inr,rupee,"
        "rupees|cny,yuan,rmb|chf,franc,francs|cent,cents|pence|btc,bitcoin|eth,ether,ethereum|aud|cad",
        "data": "byte,bytes|kb,kilobyte,kilobytes|mb,megabyte,megabytes|gb,gigabyte,gigabytes,gig,gigs|tb,terabyte,"
        "terabytes|kib|mib|gib",
        "speed": "mph|kmh,kph|knots",
        "energy": "kwh|kj,kilojoule,kilojoules|kcal,calorie,calories|watt,watts|kw,kilowatt,kilowatts|volt,volts",
        "area": "acre,acres|hectare,hectares|sqft|sqm",
        "share": "%,percent,pct",
    }.items()
    for unit in units.split("|")
    for form in unit.split(",")
}  # fmt: skip
AFTER_NUMBERS = {
    "g": ("mass", "gram"), "l": ("volume", "litre"), "ft": ("length", "feet"), "foot": ("length", "feet"),
    "lb": ("mass", "lbs"), "stone": ("mass", "stone"), "h": ("time", "hour"), "s": ("time", "sec"),
    "min": ("time", "minute"), "m": ("length", "metre"), "in": ("length", "inch"), "c": ("temperature", "celsius"),
    "f": ("temperature", "fahrenheit"), "second": ("time", "sec"), "w": ("energy", "watt"), "v": ("energy", "volt"),
    "am": ("half", "am"), "pm": ("half", "pm"), "bit": ("data", "bit"), "bits": ("data", "bit"),
}  # fmt: skip
"""Short forms that mean a unit only directly after a number."""

_ONES = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
ONES = {word: at for at, word in enumerate(f"{_ONES} seventeen eighteen nineteen".split())}
TENS = {word: 20 + 10 * at for at, word in enumerate(_split("twenty thirty forty fifty sixty seventy eighty ninety"))}
SCALES = {"hundred": 100, "thousand": 1_000, "million": 1_000_000, "billion": 10**9, "dozen": 12, "k": 1_000}
ORDINALS = {
    word: at + 1 for at, word in enumerate(_split("first second third fourth fifth sixth seventh eighth ninth tenth"))
}
MULTIPLES = {"once": 1, "twice": 2, "thrice": 3}

OPPOSITES = """
and/or is/was are/were cheapest/expensive,costly easiest,simplest/hardest,complex
enable/disable activate/deactivate on/off in/out up/down before/after increase/decrease,reduce,lower,cut,shrink
raise/lower,reduce,cut cheap/expensive,costly,dear upload/download import/export buy,purchase/sell
open/close,closed,shut start,begin/end,stop,finish first/last add/remove,delete,subtract,drop
create/delete,destroy,remove install/uninstall,remove accept/reject,decline,refuse
allow,permit,can/forbid,prohibit,ban,block,deny,refuse,prevent include,cover/exclude include/omit connect/disconnect
lock/unlock encrypt/decrypt encode/decode compress/decompress,extract,expand zip/unzip mount/unmount upgrade/downgrade
attach/detach subscribe/unsubscribe follow/unfollow hide/show,reveal,display mute/unmute best/worst good/bad,poor
better/worse advantage,benefit,pro,strength,upside/disadvantage,drawback,con,weakness,downside,risk most/least,fewest
more/less,fewer many/few maximum,max,highest/minimum,min,lowest high/low highest/lowest higher/lower
largest,biggest/smallest large,big,huge/small,little,tiny long/short longest/shortest longer/shorter
fast,quick,rapid/slow fastest,quickest/slowest faster,quicker/slower early/late earliest/latest earlier/later
old/new,young oldest/newest,youngest older/newer,younger hot,warm/cold,cool heat/cool wet/dry hard/soft,easy
easy,simple/difficult,hard safe/dangerous,unsafe,risky,harmful legal/illegal,unlawful lawful/unlawful,illegal
allowed,permitted/prohibited,forbidden,banned possible/impossible true/false right/wrong,left correct/incorrect,wrong
success/failure succeed/fail pass/fail win/lose gain/lose,loss profit/loss push/pull send/receive give/take,receive
lend/borrow credit/debit deposit/withdraw,withdrawal income/expense,outgo revenue/cost save/spend,delete,lose
earn/spend,lose pay/receive owe/own above/below over/under inside/outside front/back top/bottom left/right north/south
east/west inbound/outbound incoming/outgoing arrive,arrival/depart,departure,leave enter,entry/exit,leave
departure/return join/leave,quit check-in/check-out login/logout public/private internal/external local/remote,global
online/offline,paper domestic/international,foreign home/abroad,away indoor/outdoor male/female man/woman boy/girl
husband/wife mother/father mom/dad son/daughter brother/sister king/queen he/she him/her his/her
adult/child,kid,minor,infant parent/child teacher/student,pupil employer,boss/employee,worker,staff landlord/tenant
buyer/seller customer/supplier,vendor lender/borrower doctor/patient guest/host,member positive/negative plus/minus
multiply/divide even/odd ascend/descend forward,forwards/backward,backwards,reverse full,fully/partial,partially,empty
full-time/part-time permanent/temporary,temp day/night sunrise/sunset ancient/modern,contemporary past/future,present
present,presence/absent,absence always/never sometimes/never frequent/rare common/rare,unusual same/different
similar,similarity/different,difference strong/weak strengthen/weaken thick/thin wide/narrow deep/shallow heavy/light
dark/light,bright loud/quiet,silent spicy/mild sweet/sour,bitter rich/poor love,like/hate,dislike friend/enemy
attack/defend,defence agree/disagree approve/reject,deny,decline confirm/deny,cancel appear/disappear,vanish
find/lose,lost remember/forget rise/fall grow/shrink improve,boost,build/damage,worsen,harm,hurt,ruin,wreck
help/hurt,harm cause/cure,prevent,treat,treatment healthy/unhealthy,sick,ill gain/loss,lose eat,take,use/avoid
keep/delete,discard,remove,cancel lose/keep hire/fire,sack,dismiss employ/dismiss renew/cancel,end
continue/stop,cancel resume/pause,suspend start/pause do/undo redo/undo archive/unarchive,restore backup/restore
encrypt/decrypt serialize/deserialize read/write input/output client/server frontend/backend sync/async
synchronous/asynchronous static/dynamic horizontal/vertical row/column ascending/descending merge/split combine/split
join/split expand/collapse broaden/narrow expand/contract inhale/exhale import/export immigrate/emigrate
optimist/pessimist optional/required,mandatory,compulsory voluntary/mandatory,compulsory require,necessary/optional
single/double,multiple,joint,return,married one-way/return free/paid gross/net fixed/variable liquid/solid
acid/base,alkaline raw/cooked fresh/frozen,stale peak/off-peak prepaid/postpaid subscriber/visitor winner/loser
presence/absence
"""


IRREGULAR = {
    form: base
    for base, forms in {
        "child": "children", "person": "people persons", "man": "men", "woman": "women", "pay": "paid payment payments",
        "buy": "bought", "send": "sent", "sell": "sold sale", "find": "found", "lose": "lost", "take": "took taken",
        "leave": "left", "lend": "lent", "spend": "spent", "begin": "began begun", "break": "broke broken",
        "choose": "chose chosen choice", "write": "wrote written", "eat": "ate eaten", "give": "gave given",
        "speak": "spoke spoken", "steal": "stole stolen", "forget": "forgot forgotten", "wear": "wore worn",
        "hide": "hid hidden", "freeze": "froze frozen", "grow": "grew grown", "see": "saw seen", "win": "won",
        "bring": "brought", "teach": "taught", "catch": "caught", "keep": "kept", "build": "built", "hold": "held",
        "apply": "application applications", "foot": "feet", "tooth": "teeth", "life": "lives", "half": "halves",
        "renew": "renewal renewals", "approve": "approval", "remove": "removal", "refuse": "refusal",
        "withdraw": "withdrawal withdrawals withdrew withdrawn", "propose": "proposal", "arrive": "arrival arrivals",
        "license": "licence licences", "program": "programme programmes", "gray": "grey",
        "complain": "complaint complaints",
        "receive": "receipt", "deliver": "delivery deliveries", "reserve": "reservation", "submit": "submission",
        "permit": "permission", "decide": "decision", "extend": "extension", "verify": "verification",
        "maximum": "max maximal maximise maximize", "minimum": "min minimal minimise minimize", "depart": "departure",
        "register": "registration registrations", "include": "including inclusive inclusion",
        "exclude": "excluding exclusive exclusion", "fail": "failure",
        "differ": "difference differences different", "similar": "similarity similarities", "day": "daily",
        "close": "closure", "expire": "expiry expiration expires", "analyse": "analysis analyses analyze",
        "subscribe": "subscription subscriptions", "lower": "lowered lowering", "datum": "data", "run": "ran",
        "fall": "fell fallen", "rise": "rose risen", "drive": "drove driven", "sleep": "slept", "feel": "felt",
        "drink": "drank drunk", "fly": "flew flown flight flights", "mean": "meant", "meet": "met", "put": "putting",
        "cost": "costs", "order": "ordering", "email": "emails emailed", "cheap": "cheaper",
        "rent": "rental", "entry": "entrance",
    }.items()
    for form in forms.split()
}  # fmt: skip

SYNONYMS = """
cancel,terminate,end,discontinue start,begin,commence,initiate buy,purchase get,obtain,acquire shop,store
fix,repair,mend,troubleshoot,solve,resolve phone,telephone,mobile,cellphone,smartphone,cell
car,vehicle,automobile,auto holiday,vacation film,movie flat,apartment trip,journey,travel parcel,package
ship,deliver,dispatch job,employment,occupation boss,manager company,firm,business colleague,coworker
doctor,physician,gp medicine,medication,drug,meds child,kid,youngster mum,mom,mother,mummy dad,father
photo,picture,image,photograph,pic change,modify,alter,amend,edit,update choose,select,pick show,display find,locate
search,look remove,delete,erase add,insert create,build,generate send,transmit,mail talk,speak,chat
ask,inquire,enquire,query reply,respond,response,answer allow,permit,let require,need,necessary
recommend,suggest,advise improve,enhance reduce,decrease increase,raise,boost compute,calculate
convert,translate,transform price,cost,fee,charge bill,invoice cash,money refund,reimburse,reimbursement pay,settle
salary,wage,pay discount,rebate voucher,coupon password,passcode username,userid
app,program,software website,site,webpage folder,directory pc,computer,desktop laptop,notebook internet,web,online
connect,link join,enroll,enrol,register,signup subscription,membership plan,tier function,method library,package
argument,parameter repo,repository show,demonstrate,illustrate summary,overview,synopsis summarize,summarise,condense
explanation,description purpose,aim,goal,objective reason,cause method,approach,technique,procedure,process step,stage
feature,characteristic example,instance,sample kind,type,sort,category benefit,advantage
drawback,disadvantage,downside difference,distinction importance,significance big,large,huge,enormous bigger,larger
biggest,largest small,little,tiny smaller,littler smallest,littlest fast,quick,rapid,speedy,swift faster,quicker
fastest,quickest easy,simple,straightforward easier,simpler easiest,simplest hard,difficult,tough near,close,nearby
nearest,closest latest,newest correct,right,accurate incorrect,wrong,inaccurate famous,renowned happy,glad
ill,sick,unwell complete,finish often,frequently usually,typically,normally,generally about,approximately,roughly
area,region country,nation street,road house,home garden,yard trash,rubbish,garbage lift,elevator
petrol,gasoline motorway,highway,freeway pavement,sidewalk soccer,football student,pupil university,college
teacher,instructor lawyer,solicitor,attorney employee,worker,staff customer,client,shopper meeting,appointment
party,celebration present,gift meal,dish cook,prepare drink,beverage food,cuisine restaurant,diner reserve,book
arrive,reach leave,depart wait,await happen,occur essential,crucial,vital main,primary,principal entire,whole,complete
current,present previous,earlier annual,yearly author,writer wife,spouse tv,television fridge,refrigerator
jab,vaccine,vaccination,shot learn,study trainer,coach sofa,couch clothing,clothes,garment shoe,footwear freight,cargo
quantity,amount concern,worry rule,regulation,law complaint,grievance error,mistake,bug problem,issue,trouble
city,town check,verify expensive,costly,dear move,transfer
"""

SHORTENED = {"whats": "what", "hows": "how", "wheres": "where", "whos": "who", "whens": "when", "theres": "there"}
COMPOUNDS = {
    form: tuple(parts.split("_"))
    for form, parts in (
        item.split(":")
        for item in _split(
            "login:log_in logon:log_in logins:log_in signin:log_in signup:sign_up signout:log_out logout:log_out"
            " setup:set_up checkin:check_in checkout:check_out wifi:wi_fi backup:back_up"
        )
    )
}
