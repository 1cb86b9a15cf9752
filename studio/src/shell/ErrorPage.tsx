import { isRouteErrorResponse, Link, useRouteError } from "react-router";
import { Notice } from "../design";
import { useTitle } from "../lib/title";

/** Where a page failed: says so, and offers ways on. */
export function ErrorPage() {
  const error = useRouteError();
  const missing = isRouteErrorResponse(error) && error.status === 404;
  useTitle(missing ? "Not found" : "Error");
  return (
    <main className="stack" id="main">
      <h1>{missing ? "There is no such page" : "This page failed"}</h1>
      {missing ? null : (
        <Notice tone="bad" title={error instanceof Error ? error.message : "Unknown error"}>
          The network is not affected. Load the page again; if it fails again, this is a bug of Studio.
        </Notice>
      )}
      <p className="row">
        <button type="button" className="button" onClick={() => location.reload()}>
          Load again
        </button>
        <Link className="button" to="/" reloadDocument>
          To the network
        </Link>
      </p>
    </main>
  );
}

export function NotFound() {
  useTitle("Not found");
  return (
    <div className="stack">
      <h1>There is no such page</h1>
      <p>
        <Link to="/">To the network</Link>
      </p>
    </div>
  );
}
