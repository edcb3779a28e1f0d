"""`vsplit predict`: scores for new people by the model of a finished run."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from parties.command.run import starting
from parties.config.bounds import check_predict
from parties.config.quota_settings import QuotaSettings
from parties.config.scoring_settings import ScoringOptions, ScoringSettings
from parties.monitoring.events import Show
from parties.run.contact import contact_of
from parties.run.failure_notice import end_earlier_start, notifying_others
from parties.run.quotas import count_run
from parties.run.run_folder import check_output


def predict_file(file: Path, show: Show, options: ScoringOptions) -> int:
    """Run the prediction of a party file to its end; returns the exit code. Raises VsplitError."""
    with starting(file, "predict", show) as (party, identity):
        check_predict(party)
        check_output(party)
        settings = ScoringSettings.of(party, options)
        # These imports take seconds; errors in the files above are shown before them.
        from parties.monitoring.monitor import monitoring
        from parties.scoring.prediction import predict_party

    contact = contact_of(party, identity)
    end_earlier_start(contact)
    with notifying_others(lambda: contact, show) as first, monitoring(party, show) as monitor:
        finished = predict_party(
            settings,
            contact,
            first,
            monitor,
            lambda records: count_run(QuotaSettings.of(party), "predict", datetime.now(UTC), records),
        )
        monitor.logbook.show(finished)
    show(finished)
    return 0
