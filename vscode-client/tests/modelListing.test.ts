import assert from "node:assert/strict";
import test from "node:test";
import { completedLanguages } from "../src/languages";
import { listedModels, type ModelListing, useArguments } from "../src/modelListing";
import { servingModel, setServingModel } from "../src/servingModel";

const entry = (name: string, more: object = {}) => ({
  name, path: `/models/${name}`, source: null, revision: null, engine: null, device: null, precision: null, quantisation: null,
  default: false, serving: false, problem: null, ...more,
});

test("the model that serves comes first, and each is described", () => {
  const listing: ModelListing = {
    models: [
      entry("shipped", { source: "shipped with Attune" }),
      entry("broken", { problem: "/models/broken/config.json is missing; add the model again." }),
      entry("qwen", { engine: "transformers", device: "cuda", precision: "bfloat16", default: true, serving: true }),
    ],
    serving: { name: "qwen", named_by: "user" },
    notices: [],
  };
  assert.deepEqual(listedModels(listing), [
    { name: "qwen", serving: true, description: "serves here, your default, transformers cuda bfloat16", detail: "/models/qwen" },
    { name: "shipped", serving: false, description: "", detail: "shipped with Attune" },
    { name: "broken", serving: false, description: "", detail: "/models/broken/config.json is missing; add the model again." },
  ]);
});

test("a model is chosen for a repository or everywhere", () => {
  assert.deepEqual(useArguments("qwen", null), ["model", "use", "qwen"]);
  assert.deepEqual(useArguments("qwen", "/work"), ["model", "use", "qwen", "--repository", "-C", "/work"]);
});

test("the languages follow the model that answers", () => {
  assert.deepEqual(completedLanguages(servingModel()), ["python"]);
  setServingModel("qwen");
  setServingModel(null); // another one loads
  assert.ok(completedLanguages(servingModel()).includes("go"));
  setServingModel("shipped");
  assert.deepEqual(completedLanguages(servingModel()), ["python"]);
});
