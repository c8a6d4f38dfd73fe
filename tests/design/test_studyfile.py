"""Study files: what they say becomes a study; what is wrong with them is told at once, line by line."""

from pathlib import Path
from textwrap import dedent

import pytest

from ablate.design.claims import Claim
from ablate.design.runs import Dataset
from ablate.design.study import plan_study
from ablate.design.studyfile import StudyFile, read_study_file
from ablate.design.tomllines import key_lines, line_of
from ablate.design.typed import parse_also
from ablate.ground.errors import ConfigError
from ablate.mtl.definition import subject
from ablate.mtl.named_classes import CLASS_METRICS, METRICS
from ablate.mtl.starter import starter

SHIPPED = sorted((Path(__file__).parents[2] / "experiments").glob("*.toml"))
DATA = Dataset("tiny", "d" * 64, Path("somewhere"))

NAMED = """\
name = "example"
[conditions]
mtl = {}
grl_s1 = { grl_pos = "S1" }
fresh = { shuffle = "scene", labels.redraw = "every_epoch" }
"""
CROSSED = """\
name = "example"
[factors]
grl_pos = ["none", "S1"]
lambda = [0, 1]
"""


DESIGNED = """\
name = "example"
design = "both"
zip = [["alpha", "beta"]]
[factors]
grl_pos = ["none", "S1", "S2"]
alpha = [0, 1]
beta = [0.5, 1]
[full]
grl_pos = "S2"
alpha = 1
[[also]]
factors = { lambda = [1, 10], grl_pos = ["S1"] }
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read(text: str) -> StudyFile:
    Path("study.toml").write_text(dedent(text))
    return read_study_file(Path("study.toml"))


def problems(text: str) -> list[str]:
    """What is wrong with a study file, without its name: ``3: unknown key ...``."""
    with pytest.raises(ConfigError) as caught:
        read(text)
    return [problem.removeprefix("study.toml:") for problem in caught.value.problems]


# --- what is shipped ----------------------------------------------------------------------------------------


def test_the_shipped_studies_are_found() -> None:
    assert [path.stem for path in SHIPPED] == ["alpha", "controls", "lambda", "paper"]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
@pytest.mark.parametrize("size", [None, "paper"])
def test_every_shipped_study_can_be_planned_and_says_what_it_asks(path: Path, size: str | None) -> None:
    file = read_study_file(path)
    study = file.plan(profile=size)
    runs = study.runs(DATA)
    assert len({run.run_id for run in runs}) == len(runs) == len(study.conditions) * len(study.seeds)
    names = {condition.name for condition in study.conditions}
    assert file.details.baseline in names
    assert all({*claim.better, *claim.worse} <= names for claim in file.details.claims)
    assert file.name == path.stem
    assert len(file.details.question) > 200
    assert file.details.claims


def test_the_paper_has_its_nine_systems_seven_claims_and_two_tables() -> None:
    file = read_study_file(SHIPPED[-1])
    names = ["single_asc", "single_sed", "mtl"]
    names += ["grl_s1", "grl_s2", "fake_scene", "grl_e1", "grl_e2", "fake_event"]
    assert [condition.name for condition in file.plan().conditions] == names
    assert [claim.id for claim in file.details.claims] == ["C1", "C2", "C3", "C4", "C5a", "C5b", "C6", "C7"]
    published = file.details.published
    assert list(published) == names
    assert published["mtl"]["scene_micro_f"] == 0.8857
    assert published["grl_s1"]["event_f/keyboard_typing"] == 0.0056
    assert sum(map(len, published.values())) == 2 * 2 + 7 * 4 + 5 * 5
    assert "Imoto" in file.details.source


def test_the_paper_s_baseline_is_the_run_that_a_grid_calls_baseline() -> None:
    conditions = {c.name: c.config for c in read_study_file(SHIPPED[-1]).plan(profile="paper").conditions}
    assert conditions["mtl"] == subject.profile("paper")


def test_lambda_zero_is_planned_at_every_position_and_nothing_is_reversed_without_one() -> None:
    study = read_study_file(SHIPPED[2]).plan()
    stopped = [c.levels["grl_pos"] for c in study.conditions if c.levels["lambda"] == 0]
    assert stopped == ["S1", "S2", "E1", "E2"]
    assert {collapsed.same_as for collapsed in study.collapsed} == {"baseline"}


def test_alpha_spans_seven_decades() -> None:
    alphas = [c.levels["alpha"] for c in read_study_file(SHIPPED[0]).plan().conditions]
    assert max(alphas) / min(alphas) == pytest.approx(1e7)


# --- what a file can say ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("folder")
class TestReading:
    def test_conditions_have_the_names_of_the_file(self) -> None:
        study = read(NAMED).plan()
        assert [condition.name for condition in study.conditions] == ["mtl", "grl_s1", "fresh"]
        assert study.named
        assert study.conditions[2].levels["labels.redraw"] == "every_epoch"
        assert [factor.name for factor in study.factors] == ["grl_pos", "shuffle", "labels.redraw"]
        assert study.seeds == [0, 1, 2]

    def test_factors_are_combined_and_inert_cells_collapse(self) -> None:
        study = read(CROSSED).plan()
        names = ["baseline", "grl_pos=S1 lambda=0", "grl_pos=S1"]
        assert [condition.name for condition in study.conditions] == names
        assert [collapsed.name for collapsed in study.collapsed] == ["lambda=0"]

    def test_one_factor_at_a_time(self) -> None:
        study = read('design = "ofat"\n' + CROSSED.replace("lambda", "alpha")).plan()
        assert [c.name for c in study.conditions] == ["baseline", "grl_pos=S1", "alpha=0", "alpha=1"]

    def test_excluded_combinations_are_kept_with_their_reason(self) -> None:
        exclude = '[[exclude]]\nlevels = { grl_pos = "S1", lambda = [0, 5] }\nreason = "not asked"\n'
        study = read(CROSSED + exclude).plan()
        assert [condition.name for condition in study.conditions] == ["baseline", "grl_pos=S1"]
        assert [vars(cell) for cell in study.excluded] == [
            {"name": "grl_pos=S1 lambda=0", "why": "not asked"}
        ]

    def test_combinations_can_be_left_out_by_a_filter(self) -> None:
        exclude = '[[exclude]]\nwhere = "grl_pos = S1 and lambda < 1"\nreason = "not asked"\n'
        study = read(CROSSED + exclude).plan()
        assert [vars(cell) for cell in study.excluded] == [
            {"name": "grl_pos=S1 lambda=0", "why": "not asked"}
        ]

    def test_a_file_says_what_the_options_of_a_grid_do(self) -> None:
        study = read(DESIGNED).plan()
        typed = plan_study(
            "example", subject, subject.profile(None), [],
            {"grl_pos": ["none", "S1", "S2"], "alpha": ["0", "1"], "beta": ["0.5", "1"]},
            design="both", zips=[("alpha", "beta")],
            full={"grl_pos": "S2", "alpha": "1"}, also=[parse_also("lambda=1,10 grl_pos=S1")],
        )  # fmt: skip
        assert study.conditions == typed.conditions
        assert study.designs == ("both", "full")
        assert study.remarks == ("the full system has grl_pos=S2 alpha=1 beta=1",)

    @pytest.mark.parametrize(
        ("line", "seeds"), [("", [0, 1, 2]), ("seeds = 2", [0, 1]), ("seeds = [7, 3]", [7, 3])]
    )
    def test_seeds_are_a_count_or_a_list(self, line: str, seeds: list[int]) -> None:
        assert read(f"{line}\n{NAMED}").plan().seeds == seeds

    def test_settings_go_into_every_run_and_the_prompt_wins(self) -> None:
        settings = "[set]\noptim.epochs = 7\nalpha = 0.5\n"
        file = read(NAMED.replace("[conditions]", settings + "[conditions]"))
        assert {c.config.optim.epochs for c in file.plan().conditions} == {7}
        assert {c.config.loss.alpha for c in file.plan().conditions} == {0.5}
        over = file.plan(profile="paper", settings={"optim.epochs": "9"}, seeds=[4])
        assert {(c.config.optim.epochs, c.config.model.width) for c in over.conditions} == {(9, 1.0)}
        assert over.seeds == [4]

    def test_a_plugin_is_found_beside_the_file(self, folder: Path) -> None:
        (folder / "sub").mkdir()
        (folder / "sub" / "mine.py").write_text(
            "from ablate import Factor\nFACTORS = [Factor('rate', 'optim.lr', (1e-3,), 'learning rate')]\n"
        )
        path = folder / "sub" / "study.toml"
        path.write_text('name = "s"\nplugins = ["mine.py"]\n[conditions]\na = { rate = 0.5 }\n')
        assert read_study_file(path).plan().conditions[0].config.optim.lr == 0.5

    def test_claims_and_published_scores(self) -> None:
        details = read(
            NAMED.replace("[conditions]", 'baseline = "mtl"\nquestion = " Why? "\n[conditions]')
            + """\
[claims.C1]
text = "t"
metric = "scene_recall/office"
better = "mtl"
worse = ["grl_s1", "fresh"]
margin = 0.02
[published]
source = "a paper"
[published.table]
metrics = ["scene_micro_f", "event_micro_f"]
mtl = [50, "-"]
"""
        ).details
        claim = Claim("C1", "t", "scene_recall/office", ("mtl",), ("grl_s1", "fresh"), margin=0.02)
        assert details.claims == (claim,)
        assert (details.question, details.baseline, details.source) == ("Why?", "mtl", "a paper")
        assert details.published == {"mtl": {"scene_micro_f": 0.5}}
        assert type(details).from_json(details.to_json()) == details

    def test_the_starter_is_valid_as_it_stands(self) -> None:
        file = read(starter("mine"))
        assert file.name == "mine"
        assert len(file.plan().conditions) == 3


# --- what can be wrong --------------------------------------------------------------------------------------


@pytest.mark.usefixtures("folder")
class TestProblems:
    def test_all_are_told_at_once_in_the_order_of_their_lines(self) -> None:
        text = """\
            name = "a b"
            profil = "quick"
            profile = "quik"
            baseline = "mlt"
            [set]
            optim.epoch = 3
            seeds = 4
            [conditions]
            mtl = {}
            a = { grl_pos = "S3" }
            b = { grl_po = "S1", lambda = [1] }
            [claims.C1]
            metrc = "x"
            text = "t"
            metric = "event_mcro_f"
            better = "mtl"
            worse = ["mtl", "bb"]
            margin = -2
            [published.t]
            metrics = ["event_micro_f", "scene_recal/office"]
            mtl = [1]
            b = [101, "-"]
            """
        assert [problem.split("; known")[0] for problem in problems(text)] == [
            "1: study name 'a b': use letters, digits, '_', '-' and '.', beginning with a letter or digit",
            "2: unknown key 'profil'; did you mean 'profile'?",
            "3: unknown profile 'quik'; did you mean 'quick'?",
            "4: unknown condition 'mlt'; did you mean 'mtl'?",
            "6: unknown factor 'optim.epoch'; did you mean 'optim.epochs'?",
            "7: unknown factor 'seeds'; 'seeds' of the study stands above the first [section]",
            "10: factor 'grl_pos': grl.position = 'S3': input should be 'none', 'S1', 'S2', 'E1' or 'E2'; "
            "did you mean 'S2'?",
            "11: unknown factor 'grl_po'; did you mean 'grl_pos'?",
            "11: factor 'lambda': [1] should be a single level",
            "13: unknown key 'metrc'; did you mean 'metric'?",
            "15: unknown metric 'event_mcro_f'; did you mean 'event_micro_f'?",
            "17: unknown condition 'bb'; did you mean 'b'?",
            "17: claim 'C1': 'mtl' cannot be better than itself",
            "18: margin = -2: should be a number of 0 or more",
            "20: unknown metric 'scene_recal/office'; did you mean 'scene_recall/office'?",
            "21: 'mtl' has 1 scores, and metrics names 2; they should be as many",
            "22: 'b', event_micro_f = 101: should be per cent, 0 to 100, or \"-\"",
        ]

    @pytest.mark.parametrize(
        ("lines", "problem"),
        [
            ("interest = 0", "interest = 0: should be a fraction above 0 and below 1; 0.02 is 2 points"),
            ("interest = 2", "interest = 2: should be a fraction above 0 and below 1; 0.02 is 2 points"),
            ('interest = "x"', "interest = 'x': should be a number such as 0.01"),
            ("interest = true", "interest = True: should be a number such as 0.01"),
            (
                "margin = 0.02\ninterest = 0.01",
                "interest = 0.01: should not be less than the margin of 0.02, below which the claim is false "
                "anyway",
            ),
        ],
    )
    def test_an_interest_is_a_difference_that_matters(self, lines: str, problem: str) -> None:
        claim = '[claims.C1]\ntext = "t"\nmetric = "event_micro_f"\nbetter = "mtl"\nworse = "grl_s1"\n'
        assert [each.partition(": ")[2] for each in problems(NAMED + claim + lines)] == [problem]
        (found,) = read(NAMED + claim + "interest = 0.01").details.claims
        assert (found.margin, found.interest) == (0.0, 0.01)

    def test_two_names_for_one_training_say_why(self) -> None:
        (problem,) = problems('name = "x"\n[conditions]\na = { lambda = 3 }\nb = {}\n')
        assert problem == (
            "4: conditions 'a' and 'b' are the same training, since lambda=3 is inert: lambda scales the "
            "reversed gradient, and none is reversed; remove one"
        )

    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            ('name = "x"\n', "1: nothing is varied: list factors in [factors]"),
            ("[conditions]\na = {}\n", '1: the study needs a name, such as name = "my_study"'),
            (CROSSED + "[conditions]\na = {}\n", "5: a study has [factors] or named [conditions], not both"),
            ('design = "ofat"\n' + NAMED, "1: design is for [factors]"),
            ('design = "all"\n' + CROSSED, "1: unknown design 'all'; did you mean 'full'?"),
            ("seeds = 0\n" + NAMED, "1: seeds = 0: should be how many"),
            ("seeds = [1, 1]\n" + NAMED, "1: seeds = [1, 1]: each seed once"),
            ("question = 3\n" + NAMED, '1: question = 3: should be text in "quotes"'),
            ('plugins = ["no.py"]\n' + NAMED, "1: plugin no.py: no such Python file"),
            (NAMED + "c = 3\n", '6: c = 3: should be a table, such as { grl_pos = "S1" }'),
            (CROSSED + "seed = [1]\n", "5: the seed is not varied here; write seeds = 5"),
            (CROSSED + "grl.strength = [1]\n", "5: factor 'lambda' is given twice"),
            (CROSSED + "alpha = 1\n", "5: factor 'alpha': 1 should be a list of levels"),
            (CROSSED + '[[exclude]]\nreason = "r"\n', "5: name what is excluded"),
            (CROSSED + "[[exclude]]\nlevels.lambda = 0\n", "5: an exclusion needs a reason"),
            (
                CROSSED + '[[exclude]]\nreason = "r"\nlevels.alpha = 0\n',
                "7: factor 'alpha' is not varied; known: grl_pos, lambda",
            ),
            (
                CROSSED + '[[exclude]]\nreason = "r"\nlevels.lambda = 3\n',
                "5: excludes no combination; remove it, or mend its levels",
            ),
            (
                CROSSED + '[[exclude]]\nreason = "r"\nlevels.lambda = [0, 1]\n',
                "5: every combination is excluded",
            ),
            (
                DESIGNED.replace('"S2"\n', '"none"\n'),
                "9: full grl_pos=none: the full system has a level other",
            ),
            (DESIGNED.replace('grl_pos = "S2"', ""), "2: design both: factor 'grl_pos' has several levels"),
            (DESIGNED.replace("[0.5, 1]", "[0.5]"), "3: zip alpha,beta: they need equally many levels"),
            (DESIGNED.replace('"beta"', '"gamma"'), "3: factor 'gamma' is not varied; did you mean"),
            (
                DESIGNED.replace('[["alpha", "beta"]]', '["alpha"]'),
                "3: zip = 'alpha': should name two factors",
            ),
            (DESIGNED + 'design = "x"\n', "13: unknown design 'x'"),
            (DESIGNED + "levels = 3\n", "13: unknown key 'levels'"),
            ("[[also]]\ndesign = 'full'\n" + CROSSED, "1: a grid needs factors"),
            ("zip = []\n" + NAMED, "1: zip is for [factors]; conditions by name are listed as they are"),
            (
                CROSSED + '[[exclude]]\nreason = "r"\nwhere = "lamda = 1"\n',
                "7: where: unknown name 'lamda'; did you mean 'lambda'?",
            ),
            (
                CROSSED + '[[exclude]]\nreason = "r"\nwhere = "lambda = 1"\nlevels.lambda = 1\n',
                "7: an exclusion has either levels or where",
            ),
            (
                CROSSED + '[claims.C]\ntext = "t"\nmetric = "scene_f/home"\nbetter = "baseline"\n',
                "5: claim 'C' needs either worse (conditions) or than (metrics)",
            ),
            (
                CROSSED + '[claims.C]\ntext = "t"\nmetric = "scene_f/home"\nworse = "grl_pos=S1"\n',
                "5: claim 'C' needs better, who wins",
            ),
            (
                NAMED + '[claims.C]\ntext="t"\nmetric="scene_f/a"\nbetter="mtl"\nthan="scene_f/a"\n',
                "10: claim 'C': 'scene_f/a' cannot be higher than itself",
            ),
            (NAMED + '[published]\nsources = "x"\n', "7: 'sources' should be source, or a table of scores"),
            (NAMED + "[published.t]\nmtl = [1]\n", "6: table 't' needs its columns"),
        ],
        ids=lambda value: value if value[0].isdigit() else "",
    )
    def test_each_has_its_line_and_its_rule(self, text: str, problem: str) -> None:
        assert any(found.startswith(problem) for found in problems(text)), problems(text)

    def test_what_is_no_toml_names_the_line(self) -> None:
        with pytest.raises(ConfigError, match=r"^study.toml: not valid TOML: .*line 2"):
            read('name = "x"\nseeds = = 3\n')

    def test_a_name_that_occurs_twice_is_refused_with_its_line(self) -> None:
        with pytest.raises(ConfigError, match=r"not valid TOML: .*line 6"):
            read(NAMED + "mtl = {}\n")

    def test_what_is_no_text_is_refused(self, folder: Path) -> None:
        (folder / "study.toml").write_bytes(b"\xff\xfe")
        with pytest.raises(ConfigError, match="not UTF-8"):
            read_study_file(Path("study.toml"))
        with pytest.raises(ConfigError, match="directory"):
            read_study_file(folder)


# --- lines --------------------------------------------------------------------------------------------------


def test_every_key_has_the_line_on_which_it_stands() -> None:
    text = dedent(
        """\
        # a comment
        name = "x"
        text = \"\"\"
        name = 1
        [no.header]
        \"\"\"
        [a.'b c']
        d = [
            1,
        ]
        e = { f.g = 1 }
        [[x]]
        y = 1
        [[x]]
        y = 2
        [x.z]
        k = 3
        """
    )
    lines = key_lines(text)
    assert lines[("name",)] == 2
    assert lines[("text",)] == 3
    assert lines[("a", "b c")] == 7
    assert lines[("a", "b c", "d")] == 8
    assert lines[("a", "b c", "e", "f", "g")] == 11
    assert (lines[("x", 0, "y")], lines[("x", 1, "y")]) == (13, 15)
    assert lines[("x", 1, "z", "k")] == 17
    assert ("no", "header") not in lines
    assert line_of(lines, ("a", "b c", "missing")) == 7
    assert line_of(lines, ("missing",)) is None


def test_the_known_metrics_are_those_that_a_run_has() -> None:
    import numpy as np

    from ablate.mtl.metrics.counts import EventCounts
    from ablate.mtl.metrics.scores import event_scores, scene_scores

    ones = np.ones(2, dtype=np.int64)
    scores = event_scores(EventCounts(ones, ones, ones), ["car", "fan"])
    scores |= scene_scores(np.ones((2, 2), dtype=np.int64), ["home", "office"])
    assert {name for name in scores if "/" not in name} == set(METRICS)
    kinds = {name.partition("/")[0] for name in scores if "/" in name}
    assert kinds == set(CLASS_METRICS) - {"scene_confusion"}
