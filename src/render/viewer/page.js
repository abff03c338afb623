// ---- The page: its parts and how they look. All are made here, so that none is seen where no script runs.

const HTML = 'http://www.w3.org/1999/xhtml';
function element(tag, attributes, into, text) {
  const made = document.createElementNS(HTML, tag);
  for (const key in attributes) made.setAttribute(key, attributes[key]);
  if (text !== undefined) made.textContent = text;
  if (into) into.appendChild(made);
  return made;
}
function part(tag, name, into, text, more) { return element(tag, Object.assign({ 'data-part': name, 'class': name }, more), into, text); }

const LOOK = `
.flameprofile{--back:#fff;--ink:#1b1b1f;--soft:#55555e;--line:#c4c4cc;--panel:#f3f3f6;--field:#fff;--on:#d9d9f2;--warn:#fff1c9;--warnink:#4a3200;--bad:#a1001a;--focus:#2740c9;
display:flex;flex-direction:column;container-type:size;width:100%;height:100%;box-sizing:border-box;margin:0;background:var(--back);color:var(--ink);font:13px/1.4 system-ui,"DejaVu Sans","Segoe UI",Helvetica,Arial,sans-serif;text-align:left;position:relative;overflow:hidden}
.flameprofile[data-theme=dark]{--back:#17171b;--ink:#ececf1;--soft:#b3b3bf;--line:#4a4a55;--panel:#232329;--field:#2c2c34;--on:#45456e;--warn:#4a3a08;--warnink:#ffe7a3;--bad:#ff8a9a;--focus:#9db0ff}
.flameprofile *{box-sizing:border-box}
.flameprofile .head{padding:8px 10px 4px;display:flex;flex-wrap:wrap;gap:2px 14px;align-items:baseline;max-height:35%;overflow:auto;flex:none}
.flameprofile .title{font-size:16px;font-weight:600;margin:0;overflow-wrap:anywhere;max-height:2.8em;overflow:hidden}
.flameprofile .warning{flex-basis:100%;background:var(--warn);color:var(--warnink);border:1px solid #b98500;border-radius:4px;padding:3px 8px;font-size:12px}
.flameprofile .keys{display:flex;flex-wrap:wrap;gap:2px 12px;font-size:12px;color:var(--soft)}
.flameprofile .key i{display:inline-block;width:11px;height:11px;border-radius:2px;border:1px solid #8a8a92;margin-right:4px;vertical-align:-1px}
.flameprofile .tools{flex:none;display:flex;flex-wrap:wrap;gap:4px 6px;padding:4px 10px;align-items:center;border-bottom:1px solid var(--line);background:var(--panel)}
.flameprofile button,.flameprofile select,.flameprofile input{font:inherit;font-size:12px;color:var(--ink);background:var(--field);border:1px solid #8a8a92;border-radius:4px;padding:3px 7px;margin:0}
.flameprofile button{cursor:pointer;white-space:nowrap}
.flameprofile button[aria-pressed=true],.flameprofile button[aria-selected=true]{background:var(--on);font-weight:600}
.flameprofile button:disabled{opacity:.5;cursor:default}
.flameprofile :focus-visible{outline:2px solid var(--focus);outline-offset:1px}
.flameprofile .group{display:flex;flex-wrap:wrap;gap:2px}
.flameprofile .search{flex:1 1 150px;min-width:110px;max-width:340px}
.flameprofile .match{font-size:12px;min-height:17px}
.flameprofile .chip{display:inline-flex;align-items:center;gap:4px;border:1px solid var(--line);border-radius:10px;padding:0 2px 0 8px;font-size:12px;background:var(--field);max-width:320px}
.flameprofile .chip span{overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
.flameprofile .chip button{border:0;background:none;padding:0 5px}
.flameprofile .strip{display:block;width:100%;height:44px;flex:none;cursor:crosshair;border-bottom:1px solid var(--line)}
.flameprofile .stage{flex:1 1 0;min-height:60px;overflow:auto;position:relative;outline:none}
.flameprofile .canvas{position:sticky;top:0;left:0;display:block;cursor:pointer}
.flameprofile .stage:focus-visible .canvas{outline:2px solid var(--focus);outline-offset:-2px}
.flameprofile .twin{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
.flameprofile .verdict{flex-basis:100%;border:1px solid var(--line);border-left:5px solid #55555e;border-radius:4px;padding:3px 8px;font-size:13px;overflow-wrap:anywhere}
.flameprofile .verdict[data-verdict=regression]{border-left-color:#d9480f}
.flameprofile .verdict[data-verdict="no change"]{border-left-color:#1f6fb5}
.flameprofile .verdict summary,.flameprofile .causes summary{cursor:pointer;font-weight:600}
.flameprofile .causes{flex:none;border-top:1px solid var(--line);background:var(--panel);padding:2px 10px;font-size:12px}
.flameprofile .causes .list{position:relative;max-height:min(180px,26cqh);overflow:auto;background:var(--back)}
.flameprofile .causes th{font-weight:600;padding:1px 8px}
.flameprofile .causes tr[aria-current]{background:var(--on)}
.flameprofile .causes .dot{display:inline-block;width:10px;height:10px;border-radius:2px;border:1px solid #8a8a92;margin-right:5px;vertical-align:-1px}
.flameprofile .bar.two{display:flex;gap:4px 14px;align-items:flex-start}
.flameprofile .two .said{flex:1 1 0;min-width:0}
.flameprofile .two .numbers{white-space:normal;height:51px;overflow:auto}
.flameprofile .dots{flex:none;width:230px;height:44px;font-size:10px}
.flameprofile .dots text{fill:var(--ink)}
.flameprofile .dots .track{stroke:var(--line)}
.flameprofile .dots .mean{stroke:var(--ink);stroke-width:1.5}
.flameprofile .dots circle{fill:none;stroke:var(--ink);stroke-width:1.3}
.flameprofile .dots circle.new{fill:var(--ink);fill-opacity:.55}
.flameprofile .bar{border-top:1px solid var(--line);background:var(--panel);padding:3px 10px;flex:none;min-height:42px}
.flameprofile .name{font-family:"DejaVu Sans Mono",Menlo,Consolas,"Liberation Mono",monospace;font-size:12px;font-weight:600;white-space:pre;overflow:hidden;text-overflow:ellipsis;min-height:17px}
.flameprofile .numbers{font-size:12px;white-space:pre;overflow:hidden;text-overflow:ellipsis;min-height:17px}
.flameprofile .facts{flex:none;font-size:12px;color:var(--soft);padding:2px 10px;background:var(--panel);max-height:40%;overflow:auto}
.flameprofile .facts summary{cursor:pointer}
.flameprofile .facts dl,.flameprofile .verdict dl{font-size:12px;display:grid;grid-template-columns:max-content 1fr;gap:0 10px;margin:4px 0}
.flameprofile .facts dd,.flameprofile .verdict dd{margin:0;overflow-wrap:anywhere;max-height:2.8em;overflow:hidden}
.flameprofile .tip,.flameprofile .menu{position:absolute;z-index:5;background:var(--back);color:var(--ink);border:1px solid #8a8a92;border-radius:4px;box-shadow:0 2px 8px rgba(0,0,0,.25);font-size:12px;padding:4px 8px;max-width:min(640px,90%);pointer-events:none;white-space:pre-line;overflow-wrap:anywhere}
.flameprofile .tip b{display:block;font-family:"DejaVu Sans Mono",Menlo,Consolas,monospace}
.flameprofile .menu{pointer-events:auto;padding:3px;display:flex;flex-direction:column}
.flameprofile .menu button{border:0;text-align:left;background:none;padding:4px 10px}
.flameprofile .menu button:hover,.flameprofile .menu button:focus{background:var(--on)}
.flameprofile .help{position:absolute;inset:5% 10%;z-index:6;background:var(--back);border:1px solid #8a8a92;border-radius:6px;padding:12px 20px;overflow:auto;box-shadow:0 4px 20px rgba(0,0,0,.4)}
.flameprofile .help td{padding:1px 14px 1px 0;vertical-align:top}
.flameprofile kbd{border:1px solid #8a8a92;border-radius:3px;padding:0 4px;font-size:11px;background:var(--panel)}
.flameprofile .threads{position:absolute;z-index:5;max-height:60%;overflow:auto;background:var(--back);border:1px solid #8a8a92;border-radius:4px;padding:6px 10px;right:10px;font-size:12px}
.flameprofile .threads label{display:block;white-space:nowrap}
.flameprofile table{border-collapse:collapse;width:100%;font-size:12px}
.flameprofile th{position:sticky;top:0;background:var(--panel);text-align:left;border-bottom:1px solid var(--line);padding:0}
.flameprofile th button{border:0;background:none;font-weight:600;width:100%;text-align:inherit}
.flameprofile td{padding:1px 8px;border-bottom:1px solid var(--line);white-space:nowrap}
.flameprofile td.n,.flameprofile th.n{text-align:right;font-variant-numeric:tabular-nums}
.flameprofile td.f{font-family:"DejaVu Sans Mono",Menlo,Consolas,monospace;max-width:60vw;overflow:hidden;text-overflow:ellipsis}
.flameprofile td.f button{font:inherit;border:0;background:none;padding:0;text-decoration:underline dotted;white-space:nowrap}
.flameprofile td .share{display:inline-block;width:60px;height:9px;margin-left:6px}
@container (max-width:560px){.flameprofile .bar.two{flex-direction:column}.flameprofile .two .said{width:100%}.flameprofile .two .numbers{height:68px}.flameprofile .causes .f{max-width:36vw}.flameprofile.gated .keys{flex-wrap:nowrap;overflow-x:auto;white-space:nowrap}.flameprofile td .share,.flameprofile .wide{display:none}.flameprofile td{padding:1px 4px}}
@container (max-height:330px){.flameprofile.gated .head{flex-wrap:nowrap}.flameprofile.gated .title{max-height:1.4em;min-width:60px}.flameprofile.gated .warning{display:none}.flameprofile .verdict{flex:3 1 0;min-width:0;max-height:26px;overflow:hidden}.flameprofile .causes,.flameprofile .dots,.flameprofile .keys,.flameprofile .notes,.flameprofile .facts{display:none}.flameprofile .head{max-height:32px}.flameprofile .tools,.flameprofile .tools .group{flex-wrap:nowrap;flex-shrink:0}.flameprofile .tools{overflow-x:auto}}
@container (max-height:200px){.flameprofile .head,.flameprofile .strip{display:none}.flameprofile .stage{min-height:30px}}
.flameprofile [hidden]{display:none!important}
@media print{.flameprofile{display:none!important}}
`;
let looks = false;
function dress(root) {
  if (looks) return;
  looks = true;
  try {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(LOOK);
    document.adoptedStyleSheets = document.adoptedStyleSheets.concat([sheet]);
  } catch (error) {
    element('style', {}, root, LOOK);
  }
}

const WIDTHS = [['both', 'width: larger side'], ['new', 'width: new'], ['base', 'width: base'], ['delta', 'width: |change|']];
function listFacts(into, facts) {
  const list = element('dl', {}, into);
  for (const [about, text] of facts) {
    element('dt', {}, list, about);
    element('dd', {}, list, text);
  }
}

const VIEWS = [['flame', 'Flame graph'], ['bottom-up', 'Bottom-up'], ['sandwich', 'Sandwich'], ['chart', 'Flame chart'], ['top', 'Top']];

Viewer.prototype.makePage = function (host) {
  const app = this.app = part('div', 'flameprofile', host, undefined, { 'data-part': 'app' });
  app.setAttribute('class', 'flameprofile');
  dress(app);
  const header = this.model.header, head = part('header', 'head', app);
  part('h1', 'title', head, header.title, { title: begin(header.title, 2000) });
  if (this.gate && this.gate.found) this.makeVerdict(head);
  const keys = this.keys = part('div', 'keys', head);
  keys.setAttribute('aria-label', 'Colours');
  // Beside the title, where there is room: what is below stays where it is when a filter comes.
  this.chips = part('span', 'filters', head);
  if (header.warnings.length) part('div', 'warning', head, 'Warning: ' + header.warnings.join('; ') + '.', { role: 'note' });
  const notes = header.facts.filter(fact => fact[0] === 'note').map(fact => fact[1]);
  if (notes.length) part('div', 'notes', head, 'Note: ' + notes.join('; ') + '.').style.cssText = 'flex-basis:100%;font-size:12px;color:var(--soft)';

  const tools = part('div', 'tools', app, undefined, { role: 'toolbar', 'aria-label': 'View' });
  const button = (name, text, title, act, into) => {
    const made = part('button', name, into || tools, text, { type: 'button', title: title });
    made.addEventListener('click', act);
    return made;
  };
  const select = (name, title, options, act) => {
    const made = part('select', name, tools, undefined, { 'aria-label': title, title: title });
    for (const [value, text] of options) element('option', { value: value }, made, text);
    made.addEventListener('change', () => act(made.value));
    return made;
  };
  const views = part('div', 'group', tools, undefined, { role: 'group', 'aria-label': 'Kind of view' });
  this.viewButtons = VIEWS.filter(([view]) => view !== 'chart' || this.base.isTimed).map(([view, text], n) =>
    [view, button('view-' + view, text, text + ' (' + (n + 1) + ')', () => this.go({ view: view }), views)]);
  this.invertButton = button('invert', 'Invert', 'Root at the top, or at the bottom (i)', () => this.go({ inverted: !this.state.inverted }));
  this.paletteSelect = select('palette', 'Colours', [['type', 'by type'], ['binary', 'by binary'], ['hash', 'by name'], ['self', 'by self']]
    .concat(this.base.isDiff || this.gate ? [['change', 'by change']] : []), value => this.go({ palette: value }, true));
  if (this.base.threads.length) {
    this.groupSelect = select('split', 'Split', [['none', 'not split'], ['processes', 'by process'], ['threads', 'by thread']], value => this.go({ split: value, zoom: [] }));
    this.threadsButton = button('choose', 'Threads', 'Choose threads (t)', () => this.chooseThreads());
  }
  if (this.base.isDiff) {
    this.widthSelect = select('width', 'Width (w)', WIDTHS, value => this.go({ width: value }));
  }
  if (this.gate && this.gate.found) {
    const found = this.gate.found, more = [': per ' + begin(found.work_unit, 30), ': of all', ': new \u00f7 ' + Number(found.robust_factor).toPrecision(4)];
    this.scaleSelect = select('scale', 'Scale (l)', SCALES.map((scale, n) => [scale, scale + more[n] + (scale === found.scale ? ', the gate\u2019s' : '')]), value => this.go({ scale: value }));
  }
  this.input = part('input', 'search', tools, undefined, { type: 'search', placeholder: 'Search  /', 'aria-label': 'Search frames', spellcheck: 'false', autocomplete: 'off' });
  this.regexButton = button('regex', '.*', 'Regular expression, or plain text', () => this.go({ plain: !this.state.plain }, true));
  this.caseButton = button('case', 'Aa', 'Match case', () => this.go({ exact: !this.state.exact }, true));
  button('previous', '\u25b2', 'Previous match (N)', () => this.nextMatch(-1)).setAttribute('aria-label', 'Previous match');
  button('following', '\u25bc', 'Next match (n)', () => this.nextMatch(1)).setAttribute('aria-label', 'Next match');
  button('pin', '+', 'Keep this term and search for another', () => this.pinTerm()).setAttribute('aria-label', 'Keep this term');
  this.terms = part('span', 'terms', tools);
  this.match = part('span', 'match', tools, '', { role: 'status', 'aria-live': 'polite' });
  this.resetButton = button('reset', 'Reset', 'Everything as it was (Esc)', () => this.reset());
  this.themeButton = button('theme', '\u25d0', 'Dark or light (d)', () => this.switchTheme());
  this.themeButton.setAttribute('aria-label', 'Dark or light');
  button('helping', '?', 'Keys (?)', () => this.help()).setAttribute('aria-label', 'Help');

  if (this.base.isTimed) {
    this.strip = part('canvas', 'strip', app, undefined, { role: 'img', 'aria-label': 'Activity over time; drag to choose a range', title: 'Drag: choose a range of time' });
  }
  this.stage = part('div', 'stage', app, undefined, { tabindex: '0', role: 'tree', 'aria-label': 'Frames' });
  this.canvas = part('canvas', 'canvas', this.stage, undefined, { 'aria-hidden': 'true' });
  this.spacer = element('div', { 'aria-hidden': 'true' }, this.stage);
  this.twin = part('div', 'twin', this.stage, undefined, { role: 'presentation' });
  this.table = part('div', 'stage table', app, undefined, { tabindex: '-1' });
  this.table.setAttribute('data-part', 'table');
  if (this.gate && this.gate.found) this.makeCauses();
  const bar = part('div', 'bar', app), said = this.causes ? part('div', 'said', bar) : bar;
  this.nameLine = part('div', 'name', said);
  this.numbersLine = part('div', 'numbers', said);
  if (this.causes) {
    bar.classList.add('two');
    this.dots = bar.appendChild(document.createElementNS('http://www.w3.org/2000/svg', 'svg'));
    for (const [key, value] of [['class', 'dots'], ['data-part', 'dots'], ['role', 'img'], ['viewBox', '0 0 230 44']]) this.dots.setAttribute(key, value);
  }
  const facts = part('details', 'facts', app);
  element('summary', {}, facts, 'About this ' + (header.kind === 'diff' ? 'comparison' : 'profile'));
  listFacts(facts, header.facts.concat([['version', 'flameprofile ' + header.version]]));
  facts.addEventListener('toggle', () => this.resize());
  this.tip = part('div', 'tip', app, undefined, { hidden: '', role: 'tooltip' });
  if (!this.base.count || !(this.weightsAll() > 0)) app.setAttribute('data-empty', '');
};

const KEYS = [
  ['\u2190 \u2191 \u2192 \u2193', 'walk from frame to frame'], ['Enter', 'zoom into the frame'], ['Esc', 'clear the search, then reset'], ['Backspace', 'back'],
  ['/ or Ctrl-F', 'search; several terms with +'], ['n, N', 'next, previous match'], ['1 \u2026 5', 'flame graph, bottom-up, sandwich, flame chart, top'],
  ['i', 'root at the top or at the bottom'], ['s', 'sandwich: callers and callees of the frame'], ['h', 'hide the frame and all above it'],
  ['H', 'hide its function everywhere'], ['f', 'only stacks with its function'], ['c, C', 'copy its name, its stack'], ['m', 'menu of the frame'],
  ['t', 'choose threads'], ['d', 'dark or light'], ['+ \u2212', 'zoom the flame chart'], ['?', 'this list']
];
Viewer.prototype.help = function () {
  if (this.helpBox) { this.helpBox.remove(); this.helpBox = null; this.stage.focus(); return; }
  const box = this.helpBox = part('div', 'help', this.app, undefined, { role: 'dialog', 'aria-label': 'Keys', tabindex: '-1' });
  element('h2', {}, box, 'Keys');
  const table = element('table', {}, box);
  const more = this.base.isDiff ? [['w', 'the next kind of width']] : [];
  if (this.causes) more.push(['l', 'the next scale'], ['e', 'the table of what changed; \u2191 \u2193 walk in it'], ['v', 'how the verdict came about']);
  for (const [keys, what] of KEYS.concat(more)) {
    const row = element('tr', {}, table);
    element('kbd', {}, element('td', {}, row), keys);
    element('td', {}, row, what);
  }
  element('p', {}, box, 'Click: zoom. Right click: menu. Drag in the strip of time: choose a range.');
  const close = element('button', { type: 'button' }, box, 'Close');
  close.addEventListener('click', () => this.help());
  close.focus();
};
