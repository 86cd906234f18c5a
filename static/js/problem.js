// A refusal that a person is shown: what went wrong in `message`, for programs in `code`.

export class Problem extends Error {
  constructor({ code, message, details = {} }) {
    super(message);
    this.code = code;
    this.details = details;
  }
}
