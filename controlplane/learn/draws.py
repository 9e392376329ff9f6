"""How often the next queries are audited and shadowed: as labels are wanted."""

from dataclasses import dataclass

from controlplane.audit import sample
from controlplane.learn.pull import lacks_certificate
from controlplane.learn.settings import DrawRates, LearnerSettings
from dataplane.contract.policy import PolicyDocument


@dataclass(frozen=True, slots=True)
class Want:
    """What more labels are wanted for than in quiet times.

    ``judging``: too few tell of the judge's scores; ``news``: something changed lately, or a tier
    that joined lately is unproven; ``trial``: a judge may yet earn its say.
    """

    judging: bool
    news: bool
    trial: bool

    def rates(self, draft: PolicyDocument, settings: LearnerSettings) -> DrawRates:
        """Shares of the queries that the draft decides."""
        rates = settings.alarmed if self.news else settings.steady
        if self.judging:
            rates = settings.cold
        if self.trial:  # a shadow is evidence only where both answers are labelled
            least = draft.shadow.undecided
            rates = rates.at_least(DrawRates(least, least))
        return rates.at_least(settings.cold) if lacks_certificate(draft) else rates


def at(draft: PolicyDocument, rates: DrawRates, held_out: float) -> PolicyDocument:
    """The draft at these rates; its audits keep so many labels from being learned from."""
    names = [each.name for each in draft.segments]
    audit = sample.at_rate(draft.audit, rates.audit, names).replaced(held_out=held_out)
    shadow = sample.within(draft.shadow.replaced(rate=rates.shadow), audit, names[0])
    return draft.model_copy(update={"audit": audit, "shadow": shadow})
