import { useEffect, useRef, useState } from "react";
import { useNavigate } from "react-router";

/** True where a key belongs to whoever types. */
const isTyping = (target: EventTarget | null) =>
  target instanceof HTMLElement &&
  (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));

/** The one search field, on every page of the network: a height, a hash, an address, a CID or a name. `/` leads to it. */
export function SearchField() {
  const navigate = useNavigate();
  const [text, setText] = useState("");
  const input = useRef<HTMLInputElement>(null);
  useEffect(() => {
    const lead = (event: KeyboardEvent) => {
      if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target))
        return;
      event.preventDefault();
      input.current?.focus();
    };
    document.addEventListener("keydown", lead);
    return () => document.removeEventListener("keydown", lead);
  }, []);
  return (
    <form
      role="search"
      className="anything"
      aria-label="Whole network"
      onSubmit={(event) => {
        event.preventDefault();
        const wanted = text.trim();
        if (wanted === "") return;
        setText("");
        void navigate(`/search?${new URLSearchParams({ text: wanted }).toString()}`, { state: { go: true } });
      }}
    >
      <input
        ref={input}
        className="input small"
        type="search"
        value={text}
        maxLength={128}
        aria-label="Height, hash, address, CID or name"
        aria-keyshortcuts="/"
        placeholder="Height, hash, address, CID, name"
        autoComplete="off"
        spellCheck={false}
        enterKeyHint="search"
        onChange={(event) => setText(event.target.value)}
      />
    </form>
  );
}
