// Uses the generated types as a tool would, and prints what it has seen as JSON. Run as: node client.js URL TOKEN
import createClient from "openapi-fetch";
import type { paths } from "./api.js";

declare const process: { argv: string[] };

const [, , baseUrl, token] = process.argv;
const client = createClient<paths>({ baseUrl, headers: { Authorization: `Bearer ${token}` } });

function take<T>(result: { data?: T; error?: unknown; response: Response }): T {
  if (result.data === undefined) throw new Error(`${result.response.status}: ${JSON.stringify(result.error)}`);
  return result.data;
}

const [first] = take(await client.GET("/datasets")).datasets;
const dataset: string = first.name;
const detail = take(await client.GET("/datasets/{dataset}", { params: { path: { dataset } } }));
const classes: string[] = detail.classes;
const place = { dataset, split: "train", epoch: 0, step: 0 };
const query = { batch_size: 3, recipe: "CenterCrop(16) | ToTensor()" };
const provenance = take(await client.GET("/datasets/{dataset}/splits/{split}/batches/{epoch}/{step}.json", { params: { path: place, query } }));
const indices: number[] = provenance.samples.map((sample) => sample.index);

const binary: Record<string, number[]> = {};
for (const format of ["safetensors", "npz", "png", "webp", "jpg"] as const) {
  const path = { ...place, format };
  const body = take(
    await client.GET("/datasets/{dataset}/splits/{split}/batches/{epoch}/{step}.{format}", { params: { path, query }, parseAs: "arrayBuffer" }),
  );
  binary[format] = [...new Uint8Array(body as ArrayBuffer)];
}

const current = take(await client.GET("/devices/current"));
const moved = take(await client.PUT("/devices/current", { body: current }));
const chosen = take(await client.PUT("/devices/current", { body: { device: "cpu" } }));

const refusal = await client.GET("/datasets/{dataset}", { params: { path: { dataset: "nothing" } } });
const code: string | undefined = refusal.error?.code;

// @ts-expect-error  there is no such format
await client.GET("/datasets/{dataset}/splits/{split}/batches/{epoch}/{step}.{format}", { params: { path: { ...place, format: "gif" } } });
// @ts-expect-error  there is no such parameter
await client.GET("/datasets/{dataset}/splits/{split}/samples", { params: { path: place, query: { size: 64 } } });

console.log(JSON.stringify({ dataset, classes, indices, binary, devices: [current.id, moved.id, chosen.id], code }));
