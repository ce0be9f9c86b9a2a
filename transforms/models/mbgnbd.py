"""MBG/NBD: order days at random; one may leave after any order, the first one too."""

from transforms.models.nbd import NBD


class MBGNBD(NBD):
    """Let customers leave after any order."""

    name = "mbgnbd"
    leaves_first = 1


MODEL = MBGNBD()
