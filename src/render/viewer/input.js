// ---- What the reader does: mouse, keys, menu.

Viewer.prototype.listen = function () {
  const stage = this.stage, app = this.app;
  const boxUnder = event => {
    const frame = this.canvas.getBoundingClientRect();
    const row = Math.floor((event.clientY - frame.top + stage.scrollTop - this.offset) / PITCH);
    return this.boxes ? this.boxes.at(row, event.clientX - frame.left) : -1;
  };
  let down = null;
  stage.addEventListener('pointermove', event => {
    if (down && this.state.view === 'chart' && event.buttons & 1 && Math.abs(event.clientX - down.x) > 3) { down.isDrag = true; this.panChart(event.movementX); return; }
    this.report(boxUnder(event), event);
  });
  stage.addEventListener('pointerleave', () => { if (!this.menuBox) this.report(-1); });
  stage.addEventListener('pointerdown', event => { down = { x: event.clientX }; });
  stage.addEventListener('click', event => {
    this.closeMenu();
    if (down && down.isDrag) { down = null; return; }
    down = null;
    if (event.target !== this.canvas && event.target !== stage && event.target !== this.spacer) return;
    const box = boxUnder(event);
    if (box >= 0) this.choose(box);
  });
  stage.addEventListener('contextmenu', event => {
    const box = event.clientX || event.clientY ? boxUnder(event) : this.pointed;
    if (box < 0) return;
    event.preventDefault();
    this.report(box);
    this.menu(event);
  });
  stage.addEventListener('wheel', event => {
    if (this.state.view !== 'chart' || !(event.ctrlKey || event.metaKey || event.altKey)) return;
    event.preventDefault();
    this.zoomChart(event.deltaY < 0 ? 0.8 : 1.25, event.clientX - this.canvas.getBoundingClientRect().left);
  }, { passive: false });
  stage.addEventListener('scroll', () => this.paint());
  let later = 0;
  this.input.addEventListener('input', () => {
    clearTimeout(later);
    later = setTimeout(() => this.go({ query: this.input.value }, true), 80);
  });
  (this.options.isAlone ? document : app).addEventListener('keydown', event => this.key(event));
  document.addEventListener('pointerdown', event => { if (this.menuBox && !this.menuBox.contains(event.target)) this.closeMenu(); }, true);
  let resizing = 0;
  const again = () => { cancelAnimationFrame(resizing); resizing = requestAnimationFrame(() => this.resize()); };
  if (window.ResizeObserver) new ResizeObserver(again).observe(app); else window.addEventListener('resize', again);
  if (this.strip) this.listenStrip();
  const dark = window.matchMedia && window.matchMedia('(prefers-color-scheme: dark)');
  const theme = () => { app.setAttribute('data-theme', this.state.theme || (dark && dark.matches ? 'dark' : 'light')); if (this.boxes) { this.paint(); this.drawStrip(); } };
  this.applyTheme = theme;
  if (dark && dark.addEventListener) dark.addEventListener('change', theme);
  theme();
  if (this.options.isAlone) window.addEventListener('popstate', () => { this.readHash(); this.rebuild(); });
};

Viewer.prototype.switchTheme = function () {
  this.state.theme = this.isDark() ? 'light' : 'dark';
  this.applyTheme();
  this.writeHash(true);
};

// What a click does: zoom; in the sandwich another function is put in the middle, in the chart its time is shown.
Viewer.prototype.choose = function (box) {
  const boxes = this.boxes, tree = this.drawnTrees[boxes.tree[box]];
  if (this.state.view === 'chart') { if (!boxes.count[box]) this.zoomSpan(box); return; }
  if (!tree) return;
  if (this.state.view === 'sandwich') {
    const name = this.model.names[tree.func(boxes.node[box])];
    if (!boxes.count[box] && name !== this.state.focus && this.model.kinds[tree.func(boxes.node[box])] !== TASK) this.go({ focus: name });
    return;
  }
  this.zoomTo(tree, boxes.node[box]);
};
Viewer.prototype.zoomTo = function (tree, node) {
  if (this.state.view !== 'flame' && this.state.view !== 'bottom-up') return;
  this.go({ zoom: this.pathOf(tree, node) });
  for (let box = 0; box < this.boxes.x.length; box++) if (this.boxes.node[box] === node && !this.boxes.count[box]) { this.report(box); break; }
};

// ---- The menu of a frame.

Viewer.prototype.actions = function (box) {
  const boxes = this.boxes, tree = this.drawnTrees[boxes.tree[box]];
  if (boxes.count[box]) return [];
  const node = boxes.node[box], func = tree ? tree.func(node) : this.model.func[node], name = this.model.names[func];
  const isForward = tree === this.forward || !tree, plain = keys => keys.map(key => key.split('\u0001')[0]), path = isForward ? this.model.path(node) : tree ? this.pathOf(tree, node) : [];
  const isFrame = this.model.kinds[func] !== TASK;
  const list = [];
  if (tree && this.state.view !== 'sandwich') list.push(['Zoom', () => this.zoomTo(tree, node)]);
  list.push(['Copy name', () => this.copy(name)]);
  list.push(['Copy stack', () => this.copy(plain(!isForward && tree.isOut ? path.slice().reverse() : path).join(';'))]);
  if (isFrame) list.push(['Callers and callees (sandwich)', () => this.go({ view: 'sandwich', focus: name })]);
  if (isForward && node > 0) list.push(['Hide it and all above', () => this.hide(path)]);
  if (isFrame) list.push(['Hide the function everywhere', () => this.go({ hiddenFunctions: this.state.hiddenFunctions.concat([name]) })]);
  if (isFrame) list.push(['Only stacks with it', () => this.go({ only: name, zoom: [] })]);
  list.push(['Search for it', () => { this.go({ query: this.state.plain ? name : '^' + name.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&') + '$' }); }]);
  return list;
};
Viewer.prototype.hide = function (path) {
  const zoom = this.state.zoom, isInside = path.every((name, n) => zoom[n] === name);
  this.go({ hidden: this.state.hidden.concat([path]), zoom: isInside ? path.slice(0, -1) : zoom });
};
Viewer.prototype.menu = function (event) {
  this.closeMenu();
  const box = this.pointed, list = box >= 0 ? this.actions(box) : [];
  if (!list.length) return;
  this.tip.hidden = true;
  const menu = this.menuBox = part('div', 'menu', this.app, undefined, { role: 'menu' });
  for (const [text, act] of list) {
    const button = element('button', { type: 'button', role: 'menuitem' }, menu, text);
    button.addEventListener('click', () => { this.closeMenu(); this.stage.focus(); act(); });
  }
  const frame = this.app.getBoundingClientRect(), canvas = this.canvas.getBoundingClientRect();
  const x = event && event.clientX ? event.clientX - frame.left : this.boxes.x[box] + 20;
  const y = event && event.clientY ? event.clientY - frame.top : canvas.top - frame.top + this.offset + this.rowOf(box) * PITCH - this.stage.scrollTop + PITCH;
  menu.style.left = Math.max(0, Math.min(x, frame.width - menu.offsetWidth - 4)) + 'px';
  menu.style.top = Math.max(0, Math.min(y, frame.height - menu.offsetHeight - 4)) + 'px';
  menu.addEventListener('keydown', key => {
    const buttons = Array.from(menu.children), at = buttons.indexOf(document.activeElement);
    if (key.key === 'ArrowDown') buttons[(at + 1) % buttons.length].focus();
    else if (key.key === 'ArrowUp') buttons[(at + buttons.length - 1) % buttons.length].focus();
    else if (key.key === 'Escape') { this.closeMenu(); this.stage.focus(); }
    else return;
    key.preventDefault();
    key.stopPropagation();
  });
  menu.firstChild.focus();
};
Viewer.prototype.closeMenu = function () { if (this.menuBox) { this.menuBox.remove(); this.menuBox = null; } };

Viewer.prototype.copy = function (text) {
  const done = () => { this.match.textContent = 'Copied: ' + begin(text, 60); };
  const fallback = () => {
    const field = element('textarea', { 'aria-hidden': 'true' }, this.app);
    field.value = text;
    field.select();
    let isDone = false;
    try { isDone = document.execCommand('copy'); } catch (error) { isDone = false; }
    field.remove();
    this.stage.focus();
    if (isDone) done(); else this.match.textContent = 'This browser does not allow copying.';
  };
  if (navigator.clipboard && window.isSecureContext) navigator.clipboard.writeText(text).then(done, fallback); else fallback();
};

// ---- Keys.

const nextOf = (list, now) => list[(list.indexOf(now) + 1) % list.length];

Viewer.prototype.key = function (event) {
  const key = event.key, target = event.target, isTyping = target === this.input;
  // Not `tagName`, which is in capitals in HTML and is not in an SVG.
  const isField = ['input', 'select', 'textarea'].includes(target.localName), isButton = ['button', 'summary', 'a'].includes(target.localName);
  if (event.altKey) return;
  if (((event.ctrlKey || event.metaKey) && key === 'f') || key === 'F3' || (key === '/' && !isField)) {
    this.input.focus();
    this.input.select();
  } else if (event.ctrlKey || event.metaKey) {
    return;
  } else if (key === 'Escape') {
    if (this.menuBox) this.closeMenu();
    else if (this.helpBox) this.help();
    else if (this.threadsBox) this.chooseThreads();
    else if (isTyping && this.input.value) { this.input.value = ''; this.go({ query: '' }, true); }
    else { this.reset(); this.stage.focus(); }
  } else if (isTyping && key === 'Enter') {
    if (this.input.value !== this.state.query) this.go({ query: this.input.value }, true);
    this.nextMatch(event.shiftKey ? -1 : 1);
  } else if (isField) {
    return;
  } else if (/^Arrow/.test(key)) {
    this.step(key);
  } else if (key === 'Enter' || key === ' ') {
    if (isButton || this.pointed < 0) return;
    this.choose(this.pointed);
  } else if (key === 'Backspace') {
    if (this.options.isAlone) history.back(); else this.go({ zoom: this.state.zoom.slice(0, -1) });
  } else if (key === 'n' || key === 'N') this.nextMatch(key === 'n' ? 1 : -1);
  else if (/^[1-5]$/.test(key)) { const view = VIEWS[key - 1][0]; if (view !== 'chart' || this.base.isTimed) this.go({ view: view }); }
  else if (key === 'i') this.go({ inverted: !this.state.inverted });
  else if (key === 'd') this.switchTheme();
  else if (key === 't' && this.base.threads.length) this.chooseThreads();
  else if (key === '?') this.help();
  else if (key === 'w' && this.widthSelect) this.go({ width: nextOf(WIDTHS.map(width => width[0]), this.state.width) });
  else if (key === 'l' && this.causes) this.go({ scale: nextOf(SCALES, this.state.scale) });
  else if (key === 'v' && this.causes) this.verdictPanel.open = !this.verdictPanel.open;
  else if (key === 'e' && this.causes) {
    this.causes.open = true;
    const button = this.causeList.querySelector('tr[aria-current] button') || this.causeList.querySelector('button');
    if (button) button.focus();
  }
  else if (key === '+' || key === '=') this.zoomChart(0.8);
  else if (key === '-') this.zoomChart(1.25);
  else if (this.pointed >= 0 && 'shHfcCm'.includes(key) && key.length === 1) {
    if (key === 'm') this.menu();
    else {
      const wanted = { s: 'Callers', h: 'Hide it', H: 'Hide the', f: 'Only', c: 'Copy name', C: 'Copy stack' }[key];
      const action = this.actions(this.pointed).find(([text]) => text.startsWith(wanted));
      if (!action) return;
      action[1]();
    }
  } else return;
  event.preventDefault();
};

// Walks: to the caller, to the widest callee, to the neighbours in the row.
Viewer.prototype.step = function (key) {
  if (this.state.view === 'top' || !this.boxes || !this.boxes.x.length) return;
  const boxes = this.boxes;
  let next = this.pointed;
  if (next < 0) {
    next = boxes.rows[this.isRootBelow ? boxes.rows.length - 1 : this.state.view === 'sandwich' ? this.focusRow : 0][0];
    if (next === undefined) next = 0;
    for (let row = 0; next >= 0 && this.zoomed > 0 && row < boxes.rows.length; row++) {
      const found = boxes.rows[row].find(box => boxes.node[box] === this.zoomed && !boxes.count[box]);
      if (found !== undefined) next = found;
    }
  } else {
    const row = this.rowOf(next), list = boxes.rows[row], at = list.indexOf(next), middle = boxes.x[next] + boxes.w[next] / 2;
    if (key === 'ArrowLeft') next = list[Math.max(0, at - 1)];
    else if (key === 'ArrowRight') next = list[Math.min(list.length - 1, at + 1)];
    else {
      const to = boxes.rows[row + (key === 'ArrowUp' ? -1 : 1)];
      const near = (to || []).filter(box => boxes.x[box] < boxes.x[next] + boxes.w[next] - 0.01 && boxes.x[box] + boxes.w[box] > boxes.x[next] + 0.01);
      if (near.length) next = near.reduce((best, box) => {
        const over = b => boxes.x[b] <= middle && boxes.x[b] + boxes.w[b] >= middle ? 1e9 : 0;
        return boxes.w[box] + (near.length > 1 && boxes.w[box] > boxes.w[next] ? over(box) : 0) > boxes.w[best] ? box : best;
      });
    }
  }
  this.report(next);
  this.show(next);
  this.describeTree();
};
// Scrolls a box into view.
Viewer.prototype.show = function (box) {
  const y = this.offset + this.rowOf(box) * PITCH, stage = this.stage;
  if (y < stage.scrollTop) stage.scrollTop = y - PITCH;
  else if (y + PITCH > stage.scrollTop + stage.clientHeight) stage.scrollTop = y + 2 * PITCH - stage.clientHeight;
};
