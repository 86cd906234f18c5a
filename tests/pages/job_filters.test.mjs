// The filters of the job search: the address, the server's fields, and the test of one job.

import assert from "node:assert/strict";
import { test } from "node:test";
import * as filters from "../../static/js/client/jobs_filters.js";
import { distanceKm, parsePoint } from "../../static/js/client/places.js";

const JOB = {
  status: "open", title: "Paint a hall", category: "Painting", skills: ["Drywall"], description: "Two walls",
  budget_min_amount: 50_000, budget_max_amount: 90_000, currency: "USD", location: { lon: 13.41, lat: 52.52, label: "" },
};

test("the fields of an address give the same address", () => {
  const query = "q=walls&category=painting&skills=drywall%2Cplaster&min=100.00&max=900.50&currency=USD&near=52.5%2C13.4&place=Berlin&radius=25";
  const { fields, problems } = filters.fieldsOfQuery(new URLSearchParams(query), "EUR");
  assert.deepEqual(problems, {});
  assert.deepEqual(fields.budget, { min_amount: 10_000, max_amount: 90_050, currency: "USD" });
  assert.equal(filters.queryOf(fields, "Berlin"), query);
  assert.equal(filters.conditions(fields, "Berlin").length, 6);
});

test("what cannot be read is a problem of its field and no filter", () => {
  const { fields, problems } = filters.fieldsOfQuery(new URLSearchParams("min=much&near=here"), "USD");
  assert.deepEqual(fields, {});
  assert.deepEqual(Object.keys(problems), ["min"]);
});

test("a job fits as on the server", () => {
  const fits = (fields, listed) => filters.fits(fields, JOB, listed);
  assert.ok(fits({ q: "painting walls", category: "PAINTING", skills: ["plaster", "drywall"] }));
  assert.ok(fits({ near: { lon: 13.06, lat: 52.4 }, radius_km: 50 }));
  assert.ok(fits({ budget: { min_amount: 90_000, max_amount: 50_000, currency: "USD" } }));
  assert.ok(!fits({ near: { lon: 13.06, lat: 52.4 }, radius_km: 10 }));
  assert.ok(!fits({ budget: { currency: "EUR" } }));
  assert.ok(!fits({ q: "fence" }));
  assert.ok(fits({ q: "fence" }, true), "the server has found it by its stems");
  assert.ok(!filters.fits({}, { ...JOB, status: "assigned" }));
});

test("places are points, and distances those of the globe", () => {
  assert.deepEqual(parsePoint(" 52.52, 13.41 "), { lon: 13.41, lat: 52.52 });
  assert.equal(parsePoint("95, 13"), null);
  assert.equal(Math.round(distanceKm({ lon: 13.41, lat: 52.52 }, { lon: 11.58, lat: 48.14 })), 505);
});
