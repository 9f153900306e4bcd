// What is shown, as code for other tools: exactly this view, with nothing left to settings.

import { at, serviceUrl } from "./base.js";

const shell = (text) => `'${text.replaceAll("'", "'\\''")}'`;
const python = (value) => (typeof value === "boolean" ? (value ? "True" : "False") : JSON.stringify(value));
const lines = (...each) => each.flat().join("\n");

function curlOf(path, file) {
  const url = shell(location.origin + path);
  return file ? `curl -s -o ${file} ${url}` : `curl -s ${url}`;
}

function remoteLoader(place) {
  const { seed, batch_size, shuffle, drop_last, rank, world_size, on_error } = place.state;
  const options = {
    batch_size,
    shuffle,
    seed,
    recipe: place.recipe.recipe,
    ...(drop_last ? { drop_last } : {}),
    ...(world_size > 1 ? { rank, world_size } : {}),
    ...(on_error ? { on_error } : {}),
    ...(place.dataset.max_resolution ? { max_resolution: place.dataset.max_resolution } : {}),
  };
  const names = [serviceUrl(), place.dataset.name, place.split.name].map(python).join(", ");
  return [
    "from service.client import RemoteLoader",
    "",
    `loader = RemoteLoader(`,
    `    ${names},`,
    ...Object.entries(options).map(([name, value]) => `    ${name}=${python(value)},`),
    ")",
  ];
}

/** The code of a batch: `{curl, Python, RemoteLoader}`. */
export function batchCode(place) {
  const { epoch, step, on_error } = place.state;
  return {
    curl: lines(
      curlOf(place.batchUrl("png"), "batch.png"),
      curlOf(place.batchUrl("safetensors"), "batch.safetensors"),
      curlOf(place.batchUrl("json"), "batch.json"),
    ),
    Python: lines(
      "import httpx",
      "import safetensors.torch",
      "",
      `url = ${python(location.origin + place.batchUrl("safetensors"))}`,
      "batch = safetensors.torch.load(httpx.get(url).raise_for_status().content)",
      `images, labels = batch["images"], batch["labels"]  # ${shapeOf(place)}`,
    ),
    RemoteLoader: lines(
      remoteLoader(place),
      `loader.set_epoch(${epoch})`,
      `for inputs, labels${on_error === "mask" ? ", valid" : ""} in loader:  # the whole epoch`,
      "    ...",
      "",
      `done = loader.explain(${epoch}, ${step})  # what was done to each sample of this step`,
    ),
  };
}

function shapeOf(place) {
  const [channels, height, width] = place.recipe.output_shape;
  return `${place.recipe.dtype} [${place.state.batch_size}, ${channels}, ${height ?? "H"}, ${width ?? "W"}]`;
}

/** The code of a sample's views. */
export function sampleCode(place, index, epochs) {
  const views = place.viewsUrl(index, "json", { epochs });
  return {
    curl: lines(
      curlOf(place.viewsUrl(index, "png", { epochs }), "views.png"),
      curlOf(views, "views.json"),
      curlOf(place.sampleUrl(index, "/image"), "original"),
    ),
    Python: lines(
      "import httpx",
      "",
      `told = httpx.get(${python(location.origin + views)}).raise_for_status().json()`,
      `for view in told["views"]:`,
      `    print(view["epoch"], view["key"], view["applied"])`,
    ),
  };
}

/** The code of a recipe: for torchvision, and what the service makes of it. */
export function recipeCode(place) {
  const batch = batchCode(place);
  return { torchvision: place.recipe.torchvision.trimEnd(), curl: batch.curl, Python: batch.Python, RemoteLoader: batch.RemoteLoader };
}

/** The code of a dataset's metadata and of a page of its samples. */
export function datasetCode(dataset, listing) {
  const path = at(`/datasets/${encodeURIComponent(dataset)}`);
  return {
    curl: lines(curlOf(path), curlOf(listing)),
    Python: lines(
      "import httpx",
      "",
      `page = httpx.get(${python(location.origin + listing)}).raise_for_status().json()`,
      `for sample in page["samples"]:`,
      `    print(sample["index"], sample["class"], sample["file"], sample["width"], sample["height"])`,
    ),
  };
}

/** The code that reads devices and loaders, and moves the work. */
export function deviceCode(device) {
  const body = JSON.stringify({ device });
  return {
    curl: lines(
      curlOf(at("/devices")),
      curlOf(at("/loaders")),
      `curl -s -X PUT -H 'Content-Type: application/json' -d ${shell(body)} ${shell(`${serviceUrl()}/devices/current`)}`,
    ),
    Python: lines(
      "import httpx",
      "",
      `httpx.put(${python(`${serviceUrl()}/devices/current`)}, json={"device": ${python(device)}}).raise_for_status()`,
      `print(httpx.get(${python(`${serviceUrl()}/loaders`)}).json())`,
    ),
  };
}
