"""The colours of pictures: Okabe and Ito's, which colour-blind readers tell apart."""

BLUE, ORANGE, GREY = "#0072B2", "#E69F00", "#666666"
GREEN, VERMILION, PURPLE, SKY = "#009E73", "#D55E00", "#CC79A7", "#56B4E9"
INK, RULE, SHADE, PAPER = "#1F2328", "#C9CDD2", "#F2F2F2", "#FEFEFE"
