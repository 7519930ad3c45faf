"""The text steps on real texts: clean, summarize word for word, keywords that occur, a category with its reasons."""

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.steps import FakeChat, execute, run
from workflows.steps.base import StepError
from workflows.steps.language import stemmer

ARTICLE = """\
# The stepwell of Rani

Stepwells are wells in which people reach the water by walking down a flight of steps. They were built in the dry
west of India from the second century on, and many of them were works of art. Dr. Mehta, who has measured more than
200 of them, says that no two are alike.

The water level changes by many metres between the rainy season and the dry months. A straight shaft would force
people to haul water from the depth; a stair follows the water down. In the monsoon the lower steps lie under water,
and in April the last of them is dry.

Building a stepwell took years. Masons cut the stone blocks so exactly that they hold without mortar, e.g. in Patan,
where the well goes down seven storeys. The side walls carry galleries, which shade the stair and keep the water cool.
Travellers rested there, women met there, and festivals were held on the landings.

In the nineteenth century the colonial government closed many stepwells because it held the water for unhealthy.
Pumps and pipes came. The wells fell dry, filled with rubble, and were forgotten. Some became dumps.

Since the year 2000 villages have begun to clean them again! Why? Because the pumps have drawn the ground water down
so far that the old wells are needed as stores of rain. A cleaned stepwell holds the rain of a whole season. In
Rajasthan more than thirty have been restored, and the water level around them has risen.

The restoration of a stepwell costs less than a new reservoir of the same size. It needs no electricity. What it needs
is a village that agrees to keep it clean, and that is the hardest part. Where the women's councils took the work over,
the wells stayed clean; where nobody did, they were full of rubbish within three years.
"""


def flat(text: str) -> str:
    return " ".join(text.split())


# --- summarize ---


@pytest.mark.parametrize("ranking", ["lexrank", "textrank"])
@pytest.mark.parametrize("count", [1, 3, 5, 8])
def test_every_sentence_of_the_summary_stands_in_the_text_and_it_is_shorter(ranking, count):
    output = run("summarize", {"sentences": count, "ranking": ranking}, previous={"content": ARTICLE}).output
    assert len(output["sentences"]) == count
    assert all(sentence in ARTICLE for sentence in output["sentences"])
    places = [ARTICLE.index(sentence) for sentence in output["sentences"]]
    assert places == sorted(places), "the text's own order"
    assert output["content"] == " ".join(output["sentences"])
    assert len(output["content"]) < len(ARTICLE)
    assert output["shortened"]


def test_abbreviations_do_not_cut_a_sentence():
    sentences = run("summarize", {"share": 90}, previous={"content": ARTICLE}).output["sentences"]
    assert any(
        sentence.startswith("Dr. Mehta, who") and sentence.endswith("alike.") for sentence in sentences
    )
    assert any("e.g. in Patan" in sentence for sentence in sentences)


def test_a_share_is_a_share_of_the_sentences():
    output = run("summarize", {"share": 20}, previous={"content": ARTICLE}).output
    assert len(output["sentences"]) == round(output["sentences_before"] * 0.2)


@pytest.mark.parametrize("count", [2, 3])
def test_a_text_of_two_or_three_sentences_loses_at_least_one(count):
    text = " ".join(["The pump broke.", "Nobody came to mend it.", "So we carried water."][:count])
    output = run("summarize", {"sentences": 5}, previous={"content": text}).output
    assert len(output["sentences"]) == count - 1
    assert len(output["content"]) < len(text)


def test_a_single_sentence_is_kept_and_that_is_said():
    done = run("summarize", {}, previous={"content": "The pump broke."})
    assert done.output["content"] == "The pump broke."
    assert not done.output["shortened"]
    assert "single sentence" in done.notes


def test_repeated_sentences_and_lines_without_full_stops_are_summarized_too():
    repeated = run("summarize", {"sentences": 2}, previous={"content": "Water is life. " * 50}).output
    assert repeated["sentences"] == ["Water is life."]
    lines = "\n".join(f"Buy {thing} at the market" for thing in ("bread", "milk", "salt", "oil", "rice"))
    output = run("summarize", {"sentences": 2}, previous={"content": lines}).output
    assert len(output["sentences"]) == 2
    assert all(line in lines.splitlines() for line in output["sentences"])


def test_german_is_found_out():
    text = (
        "Der Brunnen liegt im Westen von Indien. Die Stufen führen tief hinab zum Wasser. "
        "Im Sommer ist das Wasser weit unten. Die Frauen gehen jeden Morgen die Stufen hinab. "
        "Nach dem Regen stehen die Stufen unter Wasser."
    )
    done = run("summarize", {"sentences": 2}, previous={"content": text})
    assert done.output["language"] == "de"
    assert "German" in done.notes


def test_a_very_long_text_is_summarized_in_blocks():
    text = " ".join(f"Sentence number {n} speaks of well {n % 17} and pump {n % 5}." for n in range(650))
    output = run("summarize", {"sentences": 4}, previous={"content": text}).output
    assert len(output["sentences"]) == 4
    assert all(sentence in text for sentence in output["sentences"])


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet="ab .!?\n-#1é\u3002\"'", min_size=1, max_size=300))
def test_whatever_the_text_no_sentence_is_made_up(text):
    try:
        output = run("summarize", {"sentences": 3, "language": "en"}, previous={"content": text}).output
    except StepError:
        assert not re.search(r"\w", text), "only a text without a word has none"
        return
    assert output["sentences"]
    assert all(sentence in text for sentence in output["sentences"])
    assert len(output["sentences"]) < output["sentences_before"] or output["sentences_before"] == 1


# --- keywords ---


def test_every_keyword_occurs_in_the_text():
    output = run("extract_keywords", {"count": 12}, previous={"content": ARTICLE}).output
    assert 5 <= len(output["keywords"]) <= 12
    assert all(word in ARTICLE for word in output["keywords"])
    assert output["content"] == ", ".join(output["keywords"])
    assert len({word.casefold() for word in output["keywords"]}) == len(output["keywords"])
    assert [entry["keyword"] for entry in output["scores"]] == output["keywords"]
    assert json.dumps(output), "plain numbers, none of numpy's"


def test_forms_of_one_word_are_one_keyword():
    text = (
        "The river made the towns. Rivers flood, and a town by the river lives with the flood. "
        "River towns have markets; the market of a river town is its heart. Towns grow, markets grow."
    )
    words = run("extract_keywords", {"count": 12, "language": "en"}, previous={"content": text}).output[
        "keywords"
    ]
    assert all(word in text for word in words)
    stem = stemmer("en")
    shapes = [frozenset(map(stem, word.split())) for word in words]
    assert len(shapes) > 3
    assert not [
        one for place, one in enumerate(shapes) for two in shapes[:place] if 2 * len(one & two) > len(one)
    ]


def test_a_models_forms_of_one_word_are_one_keyword():
    chat = FakeChat('{"keywords": ["stepwells", "Stepwell", "stepwells"]}')
    done = run(
        "extract_keywords",
        {"method": "model", "language": "en"},
        previous={"content": "A Stepwell is deep. Many stepwells are old."},
        chat=chat,
    )
    assert done.output["keywords"] == ["stepwells"]


@pytest.mark.parametrize("count", [1, 3])
def test_the_number_of_keywords_is_kept(count):
    assert (
        len(run("extract_keywords", {"count": count}, previous={"content": ARTICLE}).output["keywords"])
        == count
    )


def test_the_longest_phrase_is_kept():
    output = run("extract_keywords", {"max_words": 1, "count": 20}, previous={"content": ARTICLE}).output
    assert all(" " not in word for word in output["keywords"])


@pytest.mark.parametrize("text", ["ok", "the and of", "Wells.", "水井", "Привет мир", "42 17"])
def test_even_a_tiny_text_has_keywords_of_its_own(text):
    output = run("extract_keywords", {}, previous={"content": text}).output
    assert output["keywords"]
    assert all(word in text for word in output["keywords"]) or text == "42 17"


def test_a_text_without_a_word_is_an_error():
    with pytest.raises(StepError) as caught:
        run("extract_keywords", {}, previous={"content": "… !!! —"})
    assert caught.value.info.code == "empty_input"


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet="wel pum.\n-'é 12", min_size=1, max_size=200))
def test_whatever_the_text_no_keyword_is_made_up(text):
    try:
        output = run("extract_keywords", {"language": "en"}, previous={"content": text}).output
    except StepError:
        assert not re.search(r"\w", text), "only a text without a word has none"
        return
    assert all(word in text for word in output["keywords"])


# --- tags ---

CATEGORIES = [
    {"name": "Building", "terms": ["mason", "stone", "wall", "gallery"]},
    {"name": "Water", "terms": ["stepwell", "rain", "ground water", "pump"]},
    {"name": "Cooking", "terms": ["oven", "recipe"]},
]


def test_the_tag_is_one_of_the_list_with_the_words_that_made_it():
    done = run("tag_category", {"categories": CATEGORIES}, previous={"content": ARTICLE})
    output = done.output
    assert output["content"] == output["category"] == "Water"
    assert output["matched"]
    assert [entry["category"] for entry in output["scores"]] == ["Building", "Water", "Cooking"]
    water = output["scores"][1]
    assert water["score"] == sum(match["points"] for match in water["matches"])
    by_term = {match["term"]: match for match in water["matches"]}
    assert by_term["ground water"] == {"term": "ground water", "count": 1, "points": 2}
    assert by_term["stepwell"]["count"] == len(re.findall(r"[Ss]tepwells?\b", ARTICLE)), "other forms count"
    assert output["scores"][2]["score"] == 0


def test_the_fallback_is_taken_when_nothing_matches():
    config = {"categories": CATEGORIES, "fallback": "Cooking"}
    done = run("tag_category", config, previous={"content": "Nothing of the kind."})
    assert done.output["category"] == "Cooking"
    assert not done.output["matched"]
    assert "fallback" in done.notes
    without = run("tag_category", {"categories": CATEGORIES}, previous={"content": "Nothing of the kind."})
    assert without.output["category"] == "Building"


@pytest.mark.parametrize(
    "written",
    [
        ["A", "B"],
        {"A": ["x"], "B": "y, z"},
        "A: x\nB: y, z",
        '["A", "B"]',
        [{"name": "A", "terms": "x, y"}, "B"],
    ],
)
def test_categories_may_be_written_in_many_ways(written):
    assert run("tag_category", {"categories": written}, previous={"content": "x y"}).output["category"] in (
        "A",
        "B",
    )


# --- clean ---


@pytest.mark.parametrize(
    ("config", "before", "after"),
    [
        ({}, "schÃ¶n  und\tgut", "schön und gut"),
        ({}, "one\r\n\r\n\r\n\r\ntwo  \n three", "one\n\ntwo\nthree"),
        (
            {},
            "<p>One &amp; two</p><script>x()</script><ul><li>a</li><li>b</li></ul>",
            "One & two\n\n- a\n- b",
        ),
        ({}, "<html><head><title>t</title></head><body><h1>Hi</h1><p>a<br>b</p></body></html>", "Hi\n\na\nb"),
        ({}, "a < b and b > c", "a < b and b > c"),
        ({"html": "keep"}, "<p>One</p>", "<p>One</p>"),
        ({"html": "always"}, "<custom>One</custom>", "One"),
        ({"whitespace": "single_line"}, "a\n\nb  c", "a b c"),
        ({"whitespace": "keep"}, "a\n\n\n\nb  c ", "a\n\n\n\nb  c "),
        ({"straight_quotes": True}, "“yes” ‘no’", "\"yes\" 'no'"),
        ({}, "“yes” ‘no’", "“yes” ‘no’"),
        ({"remove_links": True}, "see https://example.com/a?b=c now", "see now"),
        ({"remove_emails": True}, "ask ana@example.com now", "ask now"),
        ({"lower_case": True}, "LOUD", "loud"),
        ({"fix_letters": False}, "schÃ¶n", "schÃ¶n"),
        ({}, "soft\u00adhyphen and zero\u200bwidth", "softhyphen and zerowidth"),
    ],
)
def test_each_setting_changes_the_text(config, before, after):
    assert run("clean_text", config, previous={"content": before}).output["content"] == after


def test_nul_and_half_signs_are_taken_out():
    output = run("clean_text", {}, previous={"content": "a\x00b\ud800c"}).output
    assert output["content"] == "abc"


def test_cleaning_everything_away_is_an_error():
    with pytest.raises(StepError) as caught:
        run("clean_text", {}, previous={"content": "<p></p><script>all of it</script>"})
    assert caught.value.info.code == "empty_output"


def test_a_clean_article_stays_what_it_is():
    assert flat(run("clean_text", {}, previous={"content": ARTICLE}).output["content"]) == flat(ARTICLE)


def test_a_first_step_takes_the_only_text_of_the_runs_input():
    assert run("clean_text", {}, previous={"text": "a  b", "n": 3}).output["content"] == "a b"
    assert (
        run("clean_text", {"text": "{{previous.n}} x"}, previous={"text": "a  b", "n": 3}).output["content"]
        == "3 x"
    )


# --- by a model ---


def test_a_model_may_do_each_of_them():
    chat = FakeChat("Clean text.")
    assert (
        run("clean_text", {"method": "model"}, previous={"content": ARTICLE}, chat=chat).output["content"]
        == "Clean text."
    )
    assert chat.requests[0].temperature == 0
    chat = FakeChat("A short summary.")
    done = run(
        "summarize", {"method": "model", "model": "demo:writer"}, previous={"content": ARTICLE}, chat=chat
    )
    assert done.output["content"] == "A short summary."
    assert len(done.answers) == 1
    assert chat.requests[0].model == "demo:writer"
    chat = FakeChat('{"category": "Building"}')
    config = {"method": "model", "categories": CATEGORIES}
    assert (
        run("tag_category", config, previous={"content": ARTICLE}, chat=chat).output["category"] == "Building"
    )


def test_a_models_keywords_are_checked_against_the_text():
    chat = FakeChat('```json\n{"keywords": ["STEPWELLS", "blockchain", "Dr. Mehta"]}\n```')
    done = run("extract_keywords", {"method": "model"}, previous={"content": ARTICLE}, chat=chat)
    assert done.output["keywords"] == ["Stepwells", "Dr. Mehta"]
    assert "1 left out" in done.notes


def test_a_models_category_must_be_of_the_list():
    chat = FakeChat('{"category": "Elsewhere"}')
    with pytest.raises(StepError) as caught:
        execute(
            "tag_category",
            {"method": "model", "categories": CATEGORIES},
            previous={"content": ARTICLE},
            chat=chat,
        )
    assert (caught.value.info.code, caught.value.info.retryable) == ("invalid_answer", True)


def test_a_summary_says_no_sentence_twice() -> None:
    once = (
        "Rivers carried freight. The railway came later. Barges vanished soon. Yards grew beside the water."
    )
    output = run("summarize", {"sentences": 4}, previous={"content": f"{once} {once} {once}"}).output
    assert sorted(output["sentences"]) == sorted(set(output["sentences"]))
    assert len(output["sentences"]) == 4
