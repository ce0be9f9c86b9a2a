"""BG/NBD: order days at random; who has ordered once only never leaves. Known best, ranks worst by "alive"."""

from transforms.models.nbd import NBD


class BGNBD(NBD):
    """Let customers leave after a repeat order."""

    name = "bgnbd"
    leaves_first = 0


MODEL = BGNBD()
