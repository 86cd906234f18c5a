// The types of jobsphere.js. Those of commands and pushes are in contract.d.ts.

import type * as contract from "./contract.js";

export * from "./contract.js";

/** What a command that does not succeed throws. */
export declare class Refusal extends Error {
  constructor(problem: { code: string; message: string; details?: Record<string, any> });
  /** For programs. */
  readonly code: contract.ErrorCode;
  /**
   * With `unavailable` from the client itself, and for what waited when the session ended, `sent`
   * tells whether it may have been carried out.
   */
  readonly details: Record<string, any>;
}

export interface CallOptions {
  /** Makes a repeat safe, also by another client; one of its own is made for each command. */
  requestId?: string;
  /** Milliseconds until the command gives up; `Infinity` to wait for the connection. */
  patience?: number;
  /** Go over HTTP although the sockets are connected. */
  via?: "http";
}

/** A push. `seq` is the number in the user's feed (of messages: in their conversation), or null. */
export interface Push<Data = unknown> {
  namespace: string;
  name: string;
  seq: number | null;
  at: string;
  data: Data;
}

/** A file that was answered. */
export interface Download {
  name: string;
  blob: Blob;
}

/** Takes the pushes of one namespace. */
export interface Pushed<Pushes> {
  /** Returns a function that removes the listener. */
  on<Name extends keyof Pushes>(
    name: Name, listener: (data: Pushes[Name], push: Push<Pushes[Name]>) => void,
  ): () => void;
  /** The data of the next such push that fits; rejected when the session or the client ends. */
  next<Name extends keyof Pushes>(
    name: Name,
    fits?: (data: Pushes[Name], push: Push<Pushes[Name]>) => unknown,
    options?: { patience?: number },
  ): Promise<Pushes[Name]>;
}

export interface Options {
  /** The server's origin; in a browser the page's own by default. */
  url?: string;
  /** Keeps the session: `sessionStorage` by default in a browser, null to keep it nowhere. */
  storage?: Storage | null;
  /** Keeps the proof that this device is known: `localStorage` by default in a browser. */
  devices?: Storage | null;
  /** The number of the last push that an earlier client has handled. */
  since?: number;
  /** Milliseconds until a command gives up, 60,000 by default. */
  patience?: number;
  /** How many commands may wait at a time, 100 by default. */
  queueLimit?: number;
  /** Of Socket.IO, in the order in which they are tried; `["websocket", "polling"]` by default. */
  transports?: ("websocket" | "polling")[];
}

export declare class JobSphere {
  constructor(options?: Options);
  readonly account: contract.AccountCommands & Pushed<contract.AccountPushes>;
  readonly job: contract.JobCommands & Pushed<contract.JobPushes>;
  readonly jobRequest: contract.JobRequestCommands & Pushed<contract.JobRequestPushes>;
  readonly chat: contract.ChatCommands & Pushed<contract.ChatPushes>;
  readonly bidding: contract.BiddingCommands & Pushed<contract.BiddingPushes>;
  readonly payment: contract.PaymentCommands & Pushed<contract.PaymentPushes>;
  readonly wallet: contract.WalletCommands & Pushed<contract.WalletPushes>;
  readonly admin: contract.AdminCommands & Pushed<contract.AdminPushes>;
  readonly files: contract.FilesCommands;
  /** Who is signed in; of a session that was kept it has no personal fields. */
  readonly user: Partial<contract.User> | null;
  /** Whether all namespaces are connected. */
  readonly live: boolean;
  /** The number of the last push that was delivered; give it to the next client as `since`. */
  readonly seq: number | null;
  /** Run a command by its names, such as "/job" and "create". */
  command(
    namespace: string, name: string, fields?: object, options?: CallOptions,
  ): Promise<unknown>;
  /**
   * Connect, and stay connected until `close()`. Resolves when everything is live, and of what
   * happens from then on nothing is missed.
   */
  connect(options?: { namespaces?: string[]; patience?: number }): Promise<void>;
  /** Disconnect; commands that wait fail. The session stays where it is kept. */
  close(): void;
  on(name: "live", listener: (live: boolean) => void): () => void;
  /** Pushes are missing for good: read the lists again. */
  on(name: "reload", listener: (details: { head: number; first: number }) => void): () => void;
  /** The session is over; `reason` is for a person, null after `logout`. */
  on(name: "end", listener: (reason: string | null) => void): () => void;
  on(name: "push", listener: (push: Push) => void): () => void;
  /** What this server enforces, which anyone may read. */
  meta(): Promise<Record<string, any>>;
  /** The address of a file for an `<img>`, good for a minute. */
  fileUrl(fileId: string, options?: { size?: "thumb" }): Promise<string>;
  /** Take over a session whose tokens came from elsewhere. */
  adopt(session: {
    access_token: string; refresh_token: string; expires_at: string; user?: contract.User;
  }): void;
}
