import { useEffect } from "react";

/** The document's title, for tabs, history and screen readers. */
export function useTitle(title: string): void {
  useEffect(() => {
    document.title = `${title} · Openmesh`;
  }, [title]);
}
