import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef } from "react";
import { Outlet } from "react-router";
import { renewStreams } from "../../api/lines";
import { eventHistory, useHistory } from "../../api/xnodeEvents";
import { fresh, useReach, XNODE_STALE_MS } from "../../api/xnodeQueries";
import { Card, Loading, Notice } from "../../design";
import { age, clock } from "../../lib/format";
import { useNow } from "../../lib/now";
import { seldom } from "../../lib/seldom";
import { SignIn } from "../../shell/XnodeSignIn";
import { Failure } from "../parts";
import { Command } from "./parts";

/** Everything of an Xnode: shown as soon as an agent answers somebody who is signed in, and said to be old when it does not. */
export function Frame() {
  const reach = useReach();
  if (!reach.data)
    return reach.error ? <Failure error={reach.error} what="the machine" /> : <Loading what="the machine" />;
  if (reach.data.at === "absent") return <NoAgent />;
  if (reach.data.at === "signed out") return <SignIn />;
  if (reach.data.at === "narrowed") return <Narrowed words={reach.data.words} />;
  return (
    <>
      <News />
      {reach.error ? <Old since={reach.dataUpdatedAt} /> : null}
      <Outlet />
    </>
  );
}

/** Pause between two fetches for news, milliseconds: a history of thousands of events comes in hundreds of parts. */
const NEWS_MS = 500;

/** What the agent tells of is fetched anew at once; without its stream the pages still ask every few seconds. */
function News() {
  const client = useQueryClient();
  const { events, state } = useHistory();
  const now = useNow();
  const { dataUpdatedAt: heardAt } = useReach();
  const heardBefore = useRef(heardAt);
  useEffect(() => {
    // After a sleep, or after an agent that was away: streams of before may be dead and look open.
    if (heardAt - heardBefore.current > XNODE_STALE_MS) renewStreams();
    heardBefore.current = heardAt;
  }, [heardAt]);
  useEffect(() => {
    const { call, stop } = seldom(() => void fresh(client), NEWS_MS);
    const leave = eventHistory.watch(call);
    return () => {
      leave();
      stop();
    };
  }, [client]);
  if (state !== "lost") return null;
  const last = events.at(-1);
  return (
    <Notice
      tone="warn"
      title="The agent's events are interrupted"
      ticking={last ? `The last one is from ${clock(Date.parse(last.at), now)}.` : null}
    >
      Progress and history stand still until the stream is there again; this page tries by itself.
    </Notice>
  );
}

function Old({ since }: { since: number }) {
  const now = useNow();
  return (
    <Notice
      tone="warn"
      title="The agent does not answer"
      ticking={`What is shown is from ${clock(since, now)} (${age(now - since)}).`}
    >
      Applications go on without it. This page asks again by itself.
    </Notice>
  );
}

/** Somebody whose role does not let them look at the machine: what it opens is for programs, and they can sign out. */
function Narrowed({ words }: { words: string }) {
  return (
    <div className="stack narrow">
      <h1>Not for your role</h1>
      <Card title="Studio looks at the machine, and your role does not">
        <div className="stack">
          <p className="flat long">{words}</p>
          <p className="quiet flat">
            Studio opens for whoever has the right GET /v1/xnode. What your role has is there for programs, by
            an API key or this session.
          </p>
        </div>
      </Card>
    </div>
  );
}

function NoAgent() {
  return (
    <div className="stack narrow">
      <h1>No Xnode here</h1>
      <Card title="Make this machine an Xnode">
        <div className="stack">
          <p className="flat">
            An Xnode is a machine whose applications are described by one document, and whose changes can be
            undone. Its agent does not answer at this address. On the machine, as root:
          </p>
          <Command text="openmesh xnode agent" />
          <p className="quiet flat">This page goes on by itself as soon as the agent answers.</p>
        </div>
      </Card>
    </div>
  );
}
