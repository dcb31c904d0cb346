import enrol
import pytest

from provision.errors import CodeMismatch
from provision.model import Secret


@pytest.mark.token(rate_error_ppm=-4)
def test_anna_logs_in_until_her_clock_is_too_far_off(token_process, token_server, token_clock, tmp_path):
    (tmp_path / "passphrase").write_text("correct horse battery staple")
    (tmp_path / "pin").write_text("271828")
    enrol.new_ledger(tmp_path)
    enrol.enrol(token_process.address, token_server.address, "anna", tmp_path, token_clock.option)
    token_clock.advance("1 hour")
    session = token_process.session()
    session.verify_pin(Secret(b"271828"))
    token_server.backend.check("anna", session.calculate("hwtoken:anna").value)
    token_clock.advance("18 months")
    with pytest.raises(CodeMismatch):
        token_server.backend.check("anna", session.calculate("hwtoken:anna").value)
