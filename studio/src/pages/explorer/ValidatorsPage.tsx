import { Link } from "react-router";
import { useTitle } from "../../lib/title";
import { Validators } from "../network/Network";

export function ValidatorsPage() {
  useTitle("Validators");
  return (
    <div className="stack">
      <p className="flat">
        <Link to="/explorer">Explorer</Link>
      </p>
      <div className="heading">
        <h1>Validators</h1>
        <p className="quiet flat">Who decides the blocks and collects the data, with their share of the power.</p>
      </div>
      <Validators />
    </div>
  );
}
