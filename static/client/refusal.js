// What a command that does not succeed throws.

/**
 * `message` is for a person, `code` for programs, and `details` depend on the code. `unavailable`
 * is also what the client itself says when no answer came: then `details.sent` tells whether the
 * command may have been carried out, as it does when the session ended meanwhile.
 */
export class Refusal extends Error {
  constructor({ code, message, details = {} }) {
    super(message);
    this.name = "Refusal";
    this.code = code;
    this.details = details;
  }

  /** The same for one of several commands; `sent` tells whether that one may be carried out. */
  of(sent) {
    const { code, message, details } = this;
    return new Refusal({ code, message, details: { ...details, sent } });
  }
}

/** No answer came. */
export function unanswered(message, sent) {
  return new Refusal({ code: "unavailable", message, details: { sent } });
}
