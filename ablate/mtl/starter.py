"""The study file that ``ablate study --init`` writes: valid as it stands, and every part explained."""

_STARTER = '''\
# A study: what is asked, what is trained, what is claimed. This file is its documentation.
#
#     ablate study {name} --dry-run     what would be trained, and how long that takes
#     ablate study {name}               train what is not trained yet
#     ablate claims {name}              is each claim supported, refuted, or still open?
#     ablate report {name}              everything on one page

name = "{name}"

# The paragraph that the report begins with.
question = """
What does event detection lose when the network must not know the scene?
"""

profile = "quick"        # size of the training: quick (a laptop) or paper
seeds = 3                # runs of each condition, with seeds 0, 1, 2; or a list such as [0, 7]
baseline = "mtl"         # the condition that the others are compared with

# plugins = ["my_factors.py"]     # modules of your own with more factors, relative to this file

# Settings of every run, by factor or by dotted name; `ablate factors` lists all.
[set]
# optim.epochs = 60

# What is trained: a name for each condition, and how it differs from the base.
[conditions]
mtl        = {{}}
grl_s1     = {{ grl_pos = "S1" }}
fake_scene = {{ shuffle = "scene" }}

# Instead of [conditions]: factors with their levels. All combinations are trained, or with a design at the
# top of the file fewer: "ofat" (the base, then one factor at a time), "leave-one-out" (all factors changed,
# then one at a time as in the base), "both" of these, "ladder" (one factor more at each step). Conditions
# are then named by what they change, such as "grl_pos=S1 lambda=0", and the base is named "baseline". Factors
# named in zip = [["alpha", "beta"]], at the top too, vary together.
#
# [factors]
# grl_pos = ["none", "S1", "E1"]
# lambda  = [0, 1, 10]
#
# The level that the full system has, where the design has one and a factor has several others.
#
# [full]
# grl_pos = "S1"
#
# One more grid in the same study, all else as in the base.
#
# [[also]]
# factors = {{ alpha = [0.001, 0.01] }}
# design = "ofat"
#
# Combinations to leave out, and why; the plan shows it. Instead of levels: where = "lambda > 1".
#
# [[exclude]]
# levels = {{ grl_pos = "E1", lambda = [1, 10] }}
# reason = "the event branch is not the question here"

# What you expect, before you look: every condition of `better` scores higher than every one of `worse`.
[claims.C1]
text   = "Scene information helps event detection"
metric = "event_micro_f"              # also scene_micro_f, event_f/car, scene_recall/office, ...
better = "mtl"
worse  = ["grl_s1", "fake_scene"]
margin = 0.0                          # the least difference that counts; 0.02 is two points of F
# interest = 0.02                     # certainly less than this is too small to matter to `ablate decide`

# Instead of worse: other metrics of the same condition, which are to be lower.
#
# [claims.C2]
# text   = "City center and home are confused more often than home and office"
# metric = "scene_confusion/city_center+home"
# better = "mtl"
# than   = "scene_confusion/home+office"

# Scores to compare with, in per cent, as many tables as you like; "-" where there is no score.
#
# [published]
# source = "Author et al. (2022), Table 3"
# [published.table3]
# metrics = ["scene_micro_f", "event_micro_f"]
# mtl     = [88.57, 44.63]
# grl_s1  = [77.89, 40.08]
'''


def starter(name: str) -> str:
    """The text of a new study file for a study of this name."""
    return _STARTER.format(name=name)
