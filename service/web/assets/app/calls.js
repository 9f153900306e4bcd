// Reads canonical recipe text: calls with literals, as `/recipes/parse` writes them. Checking is the service's business.

const TOKEN = /\s*(?:([A-Za-z_]\w*)|([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)|("(?:[^"\\]|\\.)*")|([()[\],=|]))/iy;
const WORDS = { True: true, False: false, None: null };

/** Gives `[{name, list, named}]`: positional and named arguments; lists are arrays, nested steps are such calls again. */
export function parseCalls(text) {
  const tokens = [];
  TOKEN.lastIndex = 0;
  for (let found = TOKEN.exec(text); found; found = TOKEN.exec(text)) tokens.push(found);
  const reader = { tokens, at: 0 };
  const calls = [];
  while (reader.at < tokens.length) {
    calls.push(readValue(reader));
    skip(reader, "|");
  }
  return calls;
}

/** An argument by its name, else by its position; `fallback` where it is not given. */
export function argument(call, name, position, fallback = null) {
  return name in call.named ? call.named[name] : (call.list[position] ?? fallback);
}

const mark = (reader) => reader.tokens[reader.at]?.[4];

function skip(reader, wanted) {
  const is = mark(reader) === wanted;
  if (is) reader.at += 1;
  return is;
}

function readValue(reader) {
  const [, name, number, string] = reader.tokens[reader.at];
  reader.at += 1;
  if (number) return Number(number);
  if (string) return JSON.parse(string);
  if (!name) return readUntil(reader, "]", (list) => list.push(readValue(reader)));
  if (name in WORDS) return WORDS[name];
  const named = {};
  skip(reader, "(");
  const list = readUntil(reader, ")", (items) => {
    if (reader.tokens[reader.at + 1]?.[4] !== "=") items.push(readValue(reader));
    else {
      const key = reader.tokens[reader.at][1];
      reader.at += 2;
      named[key] = readValue(reader);
    }
  });
  return { name, list, named };
}

function readUntil(reader, end, read) {
  const items = [];
  while (reader.at < reader.tokens.length && !skip(reader, end)) {
    read(items);
    skip(reader, ",");
  }
  return items;
}
