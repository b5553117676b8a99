"""The rules of the complexity score as data: what is counted, for which part of the score; it reads no prompt.

Six parts, as in NVIDIA's prompt task and complexity classifier (model card, NGC), but counted instead of learned. The
words are general English ones, written by hand: in other languages only numbers, marks, lengths and turns count.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One thing that is counted; `half` is the count at which it alone brings its part to one half."""

    name: str
    part: str
    half: float
    about: str
    words: frozenset[str] = frozenset()


PARTS = {
    "reasoning": 0.30, "constraints": 0.20, "domain": 0.20, "context": 0.10, "output_form": 0.10, "multi_turn": 0.10,
}  # fmt: skip
"""Weight of each part in the score; they sum to 1."""
CUTS = (0.08, 0.20, 0.35, 0.50)
"""A score of at least CUTS[k] is level k + 2; below the first it is level 1."""
LEVELS = 5
READ_CHARS = 20_000
"""Of a longer prompt only the beginning is searched for words; all of it counts as context."""
CONTEXT_CHARS = (400, 100_000)
"""Up to the first the part `context` is 0, from the second on 1, in between it grows with the logarithm."""
TURNS_HALF = 4.0
"""Further turns that bring `multi_turn` to one half."""
FORMS = {"text": 0.0, "json": 0.7, "tools": 0.5}
"""What the request itself demands of the answer's form: the least that `output_form` then is."""


def _rule(name: str, part: str, half: float, about: str, words: str = "") -> Rule:
    return Rule(name=name, part=part, half=half, about=about, words=frozenset(words.split()))


RULES = (
    _rule(
        "reasoning words", "reasoning", 2.0, "why, prove, compare, step, calculate, ...",
        """why prove proof proofs derive derivation deduce infer inference imply implies justify reason reasoning
        reasons explain analyze analyse analysis evaluate assess compare contrast versus vs difference
        differences tradeoff tradeoffs pros cons cause causes effect effects consequence consequences
        therefore hence thus because suppose assume assuming hypothesis hypothesize solve solving solution
        calculate compute determine estimate optimize optimise optimal maximize maximise minimize minimise
        debug diagnose troubleshoot investigate predict forecast strategy strategies plan design step steps
        stepwise puzzle riddle logic logical paradox contradiction criticize critique argue argument
        arguments interpret synthesize conclude conclusion decide decision rank prioritize""",
    ),
    _rule("numbers", "reasoning", 12.0, "words that begin with a digit"),
    _rule("questions", "reasoning", 6.0, "question marks"),
    _rule(
        "limits", "constraints", 3.0, "must, only, at least, without, between, ...",
        """must should shall need needs require requires required requirement requirements only exactly least most
        maximum minimum max min limit limited limits without except excluding exclude avoid never ensure
        guarantee strictly precisely within between under over per each every all any both either neither
        nor unless until always including include includes following constraint constraints condition
        conditions criteria rule rules specific specifically mandatory forbidden allowed otherwise provided""",
    ),
    _rule("negations", "constraints", 5.0, "not, no, cannot, don't, ...",
          "not no none cannot can't don't doesn't didn't won't isn't aren't shouldn't mustn't nothing"),
    _rule("listed items", "constraints", 5.0, "lines that begin with a bullet or a number"),
    _rule(
        "code words", "domain", 2.0, "function, python, sql, api, regex, ...",
        """code function functions method methods class classes python javascript typescript java c++ rust golang sql
        query api apis endpoint rest http https server client database schema table index regex array string
        integer boolean pointer thread async await compile compiler runtime exception stack git docker
        kubernetes linux bash shell library framework react node django flask spring css html dom algorithm
        recursion recursive loop variable variables parameter parameters return import module package test
        tests unit bug error implement implementation refactor deploy pipeline terraform aws azure gcp
        pandas numpy pytorch tensorflow""",
    ),
    _rule("code marks", "domain", 4.0, "fences, braces, semicolons at the end of a line, calls"),
    _rule(
        "mathematics words", "domain", 3.0, "integral, matrix, probability, theorem, ...",
        """integral derivative matrix matrices vector vectors eigenvalue eigenvalues theorem lemma corollary polynomial
        equation equations inequality probability variance deviation distribution statistics regression
        gradient logarithm exponential prime divisor modulo geometry triangle circle angle hypotenuse
        topology manifold group ring field finite infinite converge convergence series sum product
        permutation combination graph bijective injective homomorphism isomorphic mean median sqrt log sin
        cos tan""",
    ),
    _rule(
        "specialist words", "domain", 3.0, "medicine, law, finance, natural science",
        """patient diagnosis symptom symptoms treatment therapy dose dosage clinical disease syndrome chronic acute
        cancer tumor protein gene genes genetic enzyme cell cells receptor antibody pharmacology anatomy
        physiology legal law laws statute liability contract contracts clause plaintiff defendant
        jurisdiction negligence constitutional court tort copyright compliance regulation regulatory gdpr
        hipaa audit fiduciary tax taxes equity bond bonds hedge portfolio asset assets inflation
        depreciation amortization accounting revenue valuation liquidity mortgage interest monetary fiscal
        elasticity quantum relativity thermodynamic thermodynamics entropy molecule molecular electron
        photon orbital voltage circuit velocity acceleration momentum frequency wavelength reaction
        oxidation acid isotope semiconductor philosophy epistemology ethics moral psychology cognitive
        sociology anthropology linguistic""",
    ),
    _rule("long words", "domain", 25.0, "words of ten letters and more"),
    _rule(
        "forms", "output_form", 2.0, "json, table, essay, list, email, words, ...",
        """json csv xml yaml markdown latex bullet bullets bulleted list lists outline essay article report story poem
        song email letter summary summarize summarise paragraph paragraphs page pages section sections
        chapter headline title tweet caption slide slides presentation diagram chart format formatted
        template dialogue script words sentences characters tokens resume proposal blog review transcript
        screenplay""",
    ),
    _rule(
        "making words", "output_form", 1.5, "write, create, generate, translate, ...",
        """write create generate draft compose build develop produce rewrite rephrase paraphrase translate convert
        transform extract classify invent imagine brainstorm expand continue complete edit proofread""",
    ),
)  # fmt: skip
"""Counted in this order. A word belongs to the first rule that lists it."""
