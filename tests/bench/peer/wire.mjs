// The shapes of pushes, errors and records.
export const envelope = (data, seq = null) => ({ seq, at: new Date(), data });

export const notFound = () => Object.assign(new Error("not found"), { code: "not_found" });

export const shown = ({ _id, ...fields }) => ({ id: _id, ...fields });
