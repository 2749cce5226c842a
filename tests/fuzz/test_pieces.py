"""What is foretold of each piece is what the pure parts of every service make of it: seconds instead of minutes."""

from collections import Counter
from random import Random

import pytest

from o2c.documents.flow import load_services
from shared.contracts.catalogue import SPEAKERS, contracts
from shared.contracts.messages import contract_of
from shared.eventsourced.hearing import Translator, sift
from shared.eventsourced.projecting import MessageProjection
from shared.eventsourced.publishing import LANES
from shared.eventsourced.reading import Decoders, read
from shared.settings import Settings
from tests.engine.records import Record
from tests.fuzz.pieces import Fate, Pieces

PIECES = 1_000
BODY_BYTES_MAX = 1_000_000
HEADS = {("order", lane): 3 for lane in range(0, LANES, 2)} | {("billing", 5): 4}
SPEAKER_OF = {speaker.topic: speaker.name for speaker in SPEAKERS.values()}
SERVICES = load_services(Settings())
BECOMES = {Fate.LETTER: {"letter"}, Fate.NOTHING: {"nothing"}, Fate.EITHER: {"letter", "taken"}}


@pytest.mark.parametrize("seed", range(2))
def test_each_piece_has_the_fate_that_is_foretold(seed: int) -> None:
    pieces = Pieces(Random(seed), HEADS, dict.fromkeys(SPEAKER_OF, 4))
    made = [pieces.next() for _ in range(PIECES)]
    for name, service in SERVICES.items():
        projections = [each for each in service.projections if isinstance(each, MessageProjection)]
        translator = Translator(service.hears, projections, Decoders(contracts(), service.hears))
        positions = {(s, lane): HEADS.get((s, lane), 0) for s in SPEAKERS for lane in range(LANES)}
        fates = Counter[str]()
        for piece in made:
            if name not in piece.fates:
                continue
            record = Record(piece.value, tuple(piece.headers), piece.topic, piece.key)
            heard = sift([read(record, SPEAKER_OF, BODY_BYTES_MAX)], positions, translator)
            positions.update({place: after for place, (_, after) in heard.moves.items()})
            poisoned = bool(heard.works) and heard.works[0].poison is not None
            became = "letter" if poisoned else "taken" if heard.works else "nothing"
            fates[became] += 1
            assert became in BECOMES[piece.fates[name]], f"{name}: {piece}"
        assert fates["letter"], f"{name} was spared: {fates}"
        speakers = {contract_of(message).speaker for message in service.hears}
        moved = {place: n for place, n in pieces.forged().items() if place[0] in speakers}
        assert moved.items() <= positions.items(), f"{name} stands elsewhere"
