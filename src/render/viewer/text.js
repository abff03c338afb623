// ---- Text: in a given space as `label::fit` and `name::column_of` do it, numbers as `number.rs` does, colours as `palette.rs` does.

function columnsOf(c) {
  const code = c.codePointAt(0);
  if (code < 0x300) return 1;
  if (code <= 0x36f || (code >= 0x200b && code <= 0x200d) || (code >= 0xfe00 && code <= 0xfe0f)) return 0;
  return (code >= 0x1100 && code <= 0x115f) || (code >= 0x2e80 && code <= 0xa4cf) || (code >= 0xac00 && code <= 0xd7a3) ||
    (code >= 0xf900 && code <= 0xfaff) || (code >= 0xfe30 && code <= 0xfe6f) || (code >= 0xff00 && code <= 0xff60) ||
    (code >= 0xffe0 && code <= 0xffe6) || (code >= 0x1f300 && code <= 0x1faff) || (code >= 0x20000 && code <= 0x3fffd) ? 2 : 1;
}
const isPlain = text => /^[\x20-\x7e]*$/.test(text);
function columns(text) {
  if (isPlain(text)) return text.length;
  let sum = 0;
  for (const c of text) sum += columnsOf(c);
  return sum;
}
function begin(text, room) {
  if (isPlain(text)) return text.slice(0, room);
  let used = 0, taken = '';
  for (const c of text) {
    used += columnsOf(c);
    if (used > room) break;
    taken += c;
  }
  return taken;
}
function fold(text) {
  if (text.includes('operator')) return text;
  let folded = '', depth = 0, before = ' ';
  for (let i = 0; i < text.length; before = text[i], i++) {
    const c = text[i];
    if (c === '<') {
      if (i === 0) return text;
      if (depth++ === 0) folded += '<\u2026>';
    } else if (c === '>' && before === '-') {
      continue;
    } else if (c === '>') {
      if (depth-- === 0) return text;
    } else if (c === '(' && depth === 0 && i > 0 && before !== ':' && text.indexOf(')::', i) < 0 && text.indexOf('const::', i) < 0) {
      break;
    } else if (depth === 0) {
      folded += c;
    }
  }
  return depth === 0 && folded ? folded : text;
}
function label(text, room) {
  if (room < 2) return '';
  text = begin(text, 2000);
  if (columns(text) <= room) return text;
  let rest = text[0] === '[' ? text : fold(text), at;
  if (columns(rest) <= room) return rest;
  const whole = rest;
  while (text[0] !== '[' && (at = rest.indexOf('::')) >= 0) {
    rest = rest.slice(at + 2);
    if (rest && columns(rest) < room) return '\u2026' + rest;
  }
  return room < 3 ? '' : begin(rest || whole, room - 1) + '\u2026';
}

function percent(share) {
  const text = (share * 100).toFixed(2);
  if (text === '0.00' || text === '-0.00') return share > 0 ? '<0.01 %' : share < 0 ? '>-0.01 %' : '0 %';
  if (text === '100.00') return share < 1 - 1e-12 ? '>99.99 %' : '100 %';
  return text + ' %';
}
function grouped(number) { return String(Math.round(number)).replace(/\B(?=(\d{3})+(?!\d))/g, ','); }
const PREFIXES = { ns: ['ns', '\u00b5s', 'ms', 's'], count: ['', 'k', 'M', 'G', 'T', 'P', 'E'], bytes: ['B', 'kB', 'MB', 'GB', 'TB', 'PB', 'EB'] };
function quantity(value, unit) {
  const prefixes = PREFIXES[unit] || PREFIXES.count;
  let number = value, prefix = 0;
  while (Math.abs(number) >= 999.5 && prefix + 1 < prefixes.length) { number /= 1000; prefix++; }
  const size = Math.abs(number);
  const digits = prefix === 0 ? String(Math.round(value)) : size < 9.995 ? number.toFixed(2) : size < 99.95 ? number.toFixed(1) : grouped(number);
  return (digits + ' ' + prefixes[prefix]).trim();
}
function countOf(number, thing) { return grouped(number) + ' ' + thing + (Math.round(number) === 1 ? '' : 's'); }

// FNV-1a of 32 bits over UTF-16, mixed.
function hashOf(text) {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  hash = Math.imul(hash ^ hash >>> 16, 0x85ebca6b);
  hash = Math.imul(hash ^ hash >>> 13, 0xc2b2ae35);
  return (hash ^ hash >>> 16) >>> 0;
}
function rgb(hue, saturation, lightness) {
  saturation /= 100; lightness /= 100;
  const channel = n => {
    const k = (n + hue / 30) % 12, amplitude = saturation * Math.min(lightness, 1 - lightness);
    const value = lightness - amplitude * Math.max(-1, Math.min(k - 3, 9 - k, 1));
    return ('0' + Math.round(value * 255).toString(16)).slice(-2);
  };
  return '#' + channel(0) + channel(8) + channel(4);
}
// Hue, saturation and lightness of the first and the last shade of each kind.
const SHADES = 12, INK = '#1b1b1f', MERGED = '#c9c9ce';
const OF_KIND = [
  [18, 34, 90, 92, 72, 62], [205, 222, 75, 80, 80, 70], [46, 56, 92, 88, 78, 68], [125, 150, 45, 48, 70, 60],
  [215, 215, 14, 14, 88, 82], [325, 335, 45, 50, 86, 80], [262, 280, 60, 66, 84, 77]
];
function shade(kind, step) {
  const [hue, hue2, sat, sat2, light, light2] = OF_KIND[kind];
  const at = (first, last, n) => first + (last - first) * n / (SHADES - 1);
  return rgb(at(hue, hue2, step), at(sat, sat2, step), at(light, light2, step * 5 % SHADES));
}
function colourOf(palette, kind, name, image, heat) {
  if (palette === 'type' || kind === TASK || kind === NOTE) return shade(kind, hashOf(name) % SHADES);
  if (palette === 'binary') {
    const hash = hashOf(image || KIND_NAMES[kind]), step = hashOf(name) % 4;
    return rgb(hash % 36 * 10, 55 + (hash >>> 8) % 3 * 10, 74 + step * 3);
  }
  if (palette === 'hash') { const hash = hashOf(name); return rgb(hash % 360, 60 + (hash >>> 10) % 20, 74 + (hash >>> 20) % 10); }
  // Self: the more of the frame is its own, the deeper.
  return rgb(48 - 30 * heat, 60 + 35 * heat, 90 - 27 * heat);
}
// Orange has grown, blue has shrunk; `change` is -1..1, 0 for what may be chance. The less sure it is, the less colour: 0..1.
function changeColour(change, colour = 1) {
  if (change === 0 || colour === 0) return '#e4e4e8';
  const size = 0.25 + 0.75 * Math.min(1, Math.abs(change));
  return change > 0 ? rgb(30, 92 * colour, 92 - 32 * size) : rgb(212, 80 * colour, 93 - 25 * size);
}
// The bar at the edge of a frame: what it called.
function edgeColour(change, colour) {
  const size = Math.min(1, Math.abs(change));
  return change === 0 || colour === 0 ? null : change > 0 ? rgb(22, 95 * colour, 52 - 16 * size) : rgb(216, 85 * colour, 60 - 18 * size);
}
// How much a frame has changed: relative to the larger side; 0 if it is within two standard deviations of the counts.
function changeOf(value, base, samples, baseSamples, scale) {
  if (value === base) return 0;
  const larger = Math.max(value, base), per = samples + baseSamples > 0 ? (value + base) / (samples + baseSamples * Math.max(scale, 0)) : 0;
  const noise = per > 0 && isFinite(per) ? 2 * per * Math.sqrt(samples + baseSamples * scale * scale) : 0;
  if (Math.abs(value - base) <= noise) return 0;
  return (value - base) / larger;
}
const TERM_COLOURS = ['#ea72e0', '#56d364', '#58c7f3', '#f2c744', '#ff8a7a', '#b9a4ff'];
