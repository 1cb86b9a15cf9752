/** The door, and visitors of applications (`crates/agent/src/api/doors.rs`, `crates/agent/src/api/visit.rs`). */

export interface DoorListener {
  address: string;
  tls: boolean;
  /** Route to which all of it leads; none where hosts decide. */
  route: string | null;
}

export interface DoorHost {
  name: string;
  route: string;
  /** `everybody`, `owner`, `members`, or the number of wallets; `nobody` where it has no certificate, or people have no place to sign in. */
  access: string;
  is_secure: boolean;
}

/** Moments are seconds since 1970. */
export interface HostCertificate {
  name: string;
  /** None where there is no certificate. */
  maker: "given" | "acme" | "house" | null;
  until: number | null;
  /** None for one that a person gave. */
  renews_at: number | null;
  /** Last attempt to get one that failed, until one succeeds. */
  failure: { count: number; at: number; again: number; cause: string; remedy: string } | null;
  /** Reason for which none is ordered. */
  note: string | null;
}

export interface DoorInstance {
  name: string;
  drains: boolean;
  open: number;
  reading_requests: number;
  writing_requests: number;
  cut: number;
}

export interface DoorRoute {
  /** `APPLICATION/PORT` */
  name: string;
  /** `open`, `hold`, `maintenance` or `closed`. */
  admission: string;
  waiting: number;
  held: number;
  refused: number;
  longest_hold_ms: number;
  instances: DoorInstance[];
}

export interface Doors {
  state: "serves" | "waits" | "fails" | "missing";
  cause: string | null;
  program: string | null;
  user: number | null;
  /** Number of the document that it serves. */
  serial: number;
  connections: number;
  malformed: number;
  listeners: DoorListener[];
  hosts: DoorHost[];
  routes: DoorRoute[];
  /** Certificates, and names without one. */
  certificates: HostCertificate[];
  remarks: string[];
}

/** The way back of a visitor, as the door has written it into the address of the page. */
export interface Way {
  host: string;
  tls: number;
  /** Number of the visit. */
  visit: string;
  /** Target of the request, in hexadecimal digits. */
  to: string;
}

export interface Visited {
  application: string;
  host: string;
  /** What a message for it says to the person, to the letter. */
  statement: string;
}

export interface Leave {
  /** Address at which the door takes the visitor in, once. */
  location: string;
  wallet: string;
}
