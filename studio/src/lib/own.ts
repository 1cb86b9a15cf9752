/** What a record itself has below a key: a name that somebody gives may be one that every object has (`constructor`). */
export const ownOf = <T>(record: Readonly<Record<string, T>>, key: string): T | undefined =>
  Object.hasOwn(record, key) ? record[key] : undefined;
