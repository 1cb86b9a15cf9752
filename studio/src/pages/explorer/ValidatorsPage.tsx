import { Link } from "react-router";
import { useTitle } from "../../lib/title";
import { useFilters } from "../../lib/urlState";
import { Validators } from "../network/Network";

export function ValidatorsPage() {
  useTitle("Validators");
  const [read, write] = useFilters();
  return (
    <div className="stack">
      <p className="flat">
        <Link to="/explorer">Explorer</Link>
      </p>
      <div className="heading">
        <h1>Validators</h1>
        <p className="quiet flat">
          Who decides the blocks and collects the data, with their share of the power.
        </p>
      </div>
      <label className="field">
        <span>Filter</span>
        <input
          className="input"
          type="search"
          value={read("find")}
          placeholder="Name or address"
          onChange={(event) => write({ find: event.target.value })}
        />
      </label>
      <Validators find={read("find")} />
    </div>
  );
}
