"""The page kit's tags: figures, times, status, people and fields as the design says them."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from django import forms
from django.template import Context, Template
from django.utils import timezone

from workflows.presenters.people import initials
from workflows.templatetags import ui

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)  # a Friday


def render(source: str, /, **context: Any) -> str:
    return Template("{% load ui %}" + source).render(Context(context))


@pytest.mark.parametrize(
    ("ms", "words"),
    [
        (None, "–"),
        (0, "0 ms"),
        (12.4, "12 ms"),
        (99.9, "100 ms"),
        (100, "0.1 s"),
        (31_840, "31.8 s"),
        (59_949, "59.9 s"),
        (59_950, "1 min 00 s"),
        (64_000, "1 min 04 s"),
        (501_000, "8 min 21 s"),
        (3_599_900, "1 h 00 min"),
        (7_500_000, "2 h 05 min"),
        (273_600_000, "3 d 4 h"),
        (-5, "0 ms"),
    ],
)
def test_durations_carry_their_unit(ms: float | None, words: str) -> None:
    assert ui.format_duration(ms) == words


def test_a_duration_may_be_a_timedelta() -> None:
    assert ui.duration(timedelta(seconds=2.2)) == "2.2 s"


@pytest.mark.parametrize(
    ("amount", "words"),
    [
        (None, "–"),
        ("", "–"),
        (0, "$0.00"),
        (Decimal("0.00004"), "< $0.001"),
        (Decimal("0.0212"), "$0.021"),
        (0.0994, "$0.099"),
        (Decimal("0.0996"), "$0.10"),
        (Decimal("0.38"), "$0.38"),
        (Decimal("1204.5"), "$1,204.50"),
        (Decimal("-0.021"), "-$0.021"),
        ("not money", "–"),
    ],
)
def test_money_is_rounded_honestly(amount: Any, words: str) -> None:
    assert ui.format_money(amount) == words


def test_a_figure_that_counts_up_keeps_its_width() -> None:
    assert render("{% money cost places=3 %}", cost=Decimal("0.13")) == "$0.130"


def test_tokens_have_thousands() -> None:
    assert render("{% tokens n %} {% tokens none %}", n=4912, none=None) == "4,912 –"


@pytest.mark.parametrize(
    ("moment", "words"),
    [
        (NOW - timedelta(hours=2), "10:00"),
        (NOW - timedelta(hours=13), "Thu 23:00"),
        (NOW - timedelta(days=6), "Sat 12:00"),
        (NOW - timedelta(days=7), "13 Nov"),
        (NOW - timedelta(days=330), "25 Dec 2025"),
        (NOW + timedelta(days=2), "Sun 12:00"),
    ],
)
def test_moments_are_clock_then_weekday_then_date(moment: datetime, words: str) -> None:
    assert ui.format_when(moment, NOW) == words


def test_a_moment_is_told_in_the_zone_of_the_reader() -> None:
    with timezone.override("Asia/Tokyo"):
        assert ui.format_when(NOW, NOW) == "21:00"


def test_a_recent_moment_counts_minutes_and_keeps_its_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timezone, "now", lambda: NOW)
    html = ui.when(NOW - timedelta(minutes=26), ago=True)
    assert ">26 min ago</time>" in html
    assert 'datetime="2026-11-20T11:34:00+00:00"' in html
    assert 'data-ago data-clock="11:34"' in html
    assert ">just now<" in ui.when(NOW, ago=True)
    assert ">11:00<" in ui.when(NOW - timedelta(hours=1), ago=True)
    assert "data-ago" not in ui.when(NOW - timedelta(hours=1), ago=True)


def test_no_moment_is_a_dash() -> None:
    assert render("{% when none %}", none=None) == "<span>–</span>"


def test_every_status_has_its_own_shape_icon_and_word() -> None:
    shapes = [(look.shape, look.icon) for name, look in ui.LOOKS.items() if name != "waiting"]
    assert len(shapes) == len(set(shapes))
    assert {look.icon for look in ui.LOOKS.values()} <= ui.icon_names()


@pytest.mark.parametrize(
    ("call", "shape", "word"),
    [
        ('{% status "completed" %}', "done", "Succeeded"),
        ('{% status "completed" retried=True %}', "retry", "Succeeded after a retry"),
        ('{% status "failed" retried=True %}', "failed", "Failed"),
        ('{% status "waiting" review=True %}', "review", "Waiting for review"),
        ('{% status "completed" review=True %}', "done", "Succeeded"),
        ('{% status "pending" %}', "wait", "Not started"),
        ('{% status "pending" run=True %}', "queued", "Queued"),
        ('{% status "odd_one" %}', "wait", "Odd one"),
    ],
)
def test_a_status_shows_shape_and_word(call: str, shape: str, word: str) -> None:
    html = render(call)
    assert f'data-s="{shape}"' in html
    assert f"<span>{word}</span>" in html


def test_a_status_without_word_is_still_said() -> None:
    html = render('{% status "failed" word=False %}')
    assert 'title="Failed"' in html
    assert '<span class="vh">Failed</span>' in html


def test_the_strip_of_runs_ends_with_the_newest() -> None:
    runs = [SimpleNamespace(status=status, waiting_for=[]) for status in ("failed", "completed", "completed")]
    html = render("{% run_strip runs %}", runs=runs)
    assert html.index('data-s="done"') < html.index('data-s="failed"')
    assert 'aria-label="Last runs, newest first: failed, succeeded, succeeded"' in html


def test_a_strip_of_steps_has_its_count_in_words() -> None:
    html = render("{% strip statuses %}", statuses=["completed", "completed", "failed", "pending"])
    assert 'aria-label="2 of 4 steps done, 1 failed"' in html
    assert html.count("<i ") == 4


def test_percent_never_rounds_up_to_all() -> None:
    assert [ui.percent(part) for part in (None, 0, 0.996, 0.29, 1)] == ["–", "0%", "99%", "29%", "100%"]


def test_an_icon_is_decoration_and_an_unknown_one_is_replaced() -> None:
    html = render('{% icon "play" size=14 %}')
    assert 'aria-hidden="true"' in html
    assert "#play" in html
    assert "i--14" in html
    assert "#puzzle" in render('{% icon "no-such-symbol" %}')


def test_icon_names_cannot_break_out() -> None:
    assert "<b>" not in render("{% icon name css=css %}", name='"><b>', css='"><b>')


@pytest.mark.parametrize(
    ("name", "letters"),
    [("Nadia Osei", "NO"), ("nadia@example.org", "NA"), ("ana.belen@x.example", "AB"), ("", "?"), ("¿", "?")],
)
def test_initials(name: str, letters: str) -> None:
    assert initials(name) == letters


def test_an_avatar_names_its_person_once() -> None:
    person = SimpleNamespace(pk=7, email="n@x.example", get_full_name=lambda: "Nadia <b>Osei")
    html = render("{% avatar person %}", person=person)
    assert '<span class="vh">Nadia &lt;b&gt;Osei</span>' in html
    assert 'class="vh"' not in render("{% avatar person named=False %}", person=person)
    assert html == render("{% avatar person %}", person=person)


def test_nobody_has_an_avatar_too() -> None:
    assert ">?</span>" in render("{% avatar none %}", none=None)


def test_markdown_is_sanitised_and_nothing_is_nothing() -> None:
    assert render("{% markdown text %}", text="<script>x</script>").startswith("<p>&lt;script&gt;")
    assert render("{% markdown text %}", text=None) == ""


class SampleForm(forms.Form):
    name = forms.CharField(
        help_text="As in <b>the list</b>.", widget=forms.TextInput(attrs={"class": "mono"})
    )
    model = forms.ChoiceField(choices=[("a", "A")], required=False)
    prompt = forms.CharField(widget=forms.Textarea, required=False)
    follow = forms.BooleanField(required=False)
    rule = forms.ChoiceField(choices=[("a", "A"), ("b", "B")], widget=forms.RadioSelect, label="If it fails")
    secret = forms.CharField(widget=forms.HiddenInput, initial="s")


def field_html(form: forms.Form, name: str) -> str:
    return render('{% include "parts/_field.html" with field=field %}', field=form[name])


def test_a_field_has_label_hint_and_error_tied_to_its_control() -> None:
    form = SampleForm({"name": ""})
    html = field_html(form, "name")
    assert '<label for="id_name">Name</label>' in html
    assert 'class="input mono"' in html
    assert 'aria-invalid="true"' in html
    assert html.count("aria-describedby=") == 1
    assert 'aria-describedby="id_name_hint id_name_error"' in html
    assert 'id="id_name_hint"' in html
    assert 'id="id_name_error"' in html
    assert "This field is required." in html
    assert "&lt;b&gt;" in html


def test_a_field_without_error_is_not_marked() -> None:
    html = field_html(SampleForm(), "model")
    assert 'class="select"' in html
    assert "aria-invalid" not in html
    assert "aria-describedby" not in html
    assert "optional" in html


def test_a_checkbox_stands_before_its_label_and_radios_in_a_group() -> None:
    check = field_html(SampleForm(), "follow")
    assert check.index("<input") < check.index("Follow")
    group = field_html(SampleForm(), "rule")
    assert "<fieldset" in group
    assert "<legend" in group
    assert "data-autogrow" in field_html(SampleForm(), "prompt")


def test_a_hidden_field_is_only_its_input() -> None:
    assert field_html(SampleForm(), "secret").strip() == (
        '<input type="hidden" name="secret" value="s" id="id_secret">'
    )
