// ---- The table of functions, and the choice of threads.

// So many rows are made at once: those that can be seen at first, the others soon after.
const MOST_ROWS = 500, FIRST_ROWS = 60, NEXT_ROWS = 110;
Viewer.prototype.drawTable = function () {
  const order = this.tableOrder || (this.tableOrder = { by: this.base.isDiff ? 'change' : 'own', down: true });
  const stamp = JSON.stringify([this.filterKey, this.matchKey, order]);
  if (this.table.stamp === stamp) return;
  this.table.stamp = stamp;
  const model = this.model, unit = this.base.unit, isDiff = this.base.isDiff, total = this.weights.total[0] || 1, baseTotal = this.weights.base[0] || 1;
  if (!this.functionRows || this.functionRows.key !== this.filterKey) {
    this.functionRows = { key: this.filterKey, rows: functionTable(model, this.weights) };
  }
  const change = row => row.own / total - row.ownBase / baseTotal;
  const keys = { own: row => row.own, total: row => row.total, samples: row => row.ownSamples, change: row => Math.abs(change(row)),
    base: row => row.ownBase, name: row => model.names[row.func], image: row => model.images[row.func] };
  const key = keys[order.by];
  let rows = this.functionRows.rows;
  if (this.matches) rows = rows.filter(row => this.matches[row.func]);
  const sign = order.down ? -1 : 1;
  rows = rows.slice().sort((a, b) => {
    const one = key(a), other = key(b);
    return (one < other ? -1 : one > other ? 1 : 0) * sign || (model.names[a.func] < model.names[b.func] ? -1 : 1);
  });
  this.table.textContent = '';
  const table = element('table', {}, this.table), head = element('tr', {}, element('thead', {}, table));
  const columns = isDiff
    ? [['own', 'Self, new', 'n'], ['base', 'Self, base', 'n'], ['change', 'Change', 'n'], ['total', 'Total, new', 'n'], ['name', 'Function', ''], ['image', 'Module', 'wide']]
    : [['own', 'Self', 'n'], ['total', 'Total', 'n'], ['samples', 'Samples', 'n wide'], ['name', 'Function', ''], ['image', 'Module', 'wide']];
  for (const [by, text, style] of columns) {
    const cell = element('th', { 'class': style, 'aria-sort': order.by === by ? (order.down ? 'descending' : 'ascending') : 'none' }, head);
    const button = element('button', { type: 'button' }, cell, text + (order.by === by ? (order.down ? ' \u25be' : ' \u25b4') : ''));
    button.addEventListener('click', () => {
      this.tableOrder = { by: by, down: order.by === by ? !order.down : by !== 'name' && by !== 'image' };
      this.drawTable();
    });
  }
  const body = element('tbody', {}, table);
  const bar = (cell, share, colour) => {
    const wide = Math.max(1, Math.round(Math.min(1, share) * 60)) + 'px';
    element('span', { 'class': 'share' }, cell).style.background = 'linear-gradient(90deg,' + colour + ' ' + wide + ',transparent 0)';
  };
  const addRow = row => {
    const line = element('tr', {}, body), number = text => element('td', { 'class': 'n' }, line, text);
    const own = number(percent(row.own / total) + (isDiff ? '' : '  ' + quantity(row.own, unit)));
    if (isDiff) {
      number(percent(row.ownBase / baseTotal));
      const points = change(row), cell = number((points < 0 ? '\u2212' : '+') + Math.abs(points * 100).toFixed(2));
      bar(cell, Math.abs(points), points < 0 ? '#2563c9' : '#c2410c');
      number(percent(row.total / total));
    } else {
      bar(own, row.own / total, '#c2410c');
      const whole = number(percent(row.total / total) + '  ' + quantity(row.total, unit));
      bar(whole, row.total / total, '#2563c9');
      number(grouped(row.ownSamples)).classList.add('wide');
    }
    const name = model.names[row.func], cell = element('td', { 'class': 'f', title: begin(name, 1000) }, line);
    const button = element('button', { type: 'button', title: 'Callers and callees' }, cell, begin(name, 400));
    button.addEventListener('click', () => this.go({ view: 'sandwich', focus: name }));
    element('td', { 'class': 'wide' }, line, begin(model.images[row.func] || KIND_NAMES[model.kinds[row.func]], 60));
  };
  const addRest = () => {
    const rest = rows.slice(MOST_ROWS);
    if (!rest.length) return;
    const line = element('tr', {}, body);
    element('td', { 'class': 'n' }, line, percent(rest.reduce((sum, row) => sum + row.own, 0) / total));
    element('td', { colspan: columns.length - 1 }, line, countOf(rest.length, 'function') + ' more: search to see them');
  };
  let added = 0;
  const addRows = until => {
    if (!body.isConnected) return;
    for (const most = Math.min(rows.length, MOST_ROWS, until); added < most; added++) addRow(rows[added]);
    if (added === Math.min(rows.length, MOST_ROWS)) addRest();
    else setTimeout(addRows, 0, added + NEXT_ROWS);
  };
  addRows(FIRST_ROWS);
};

Viewer.prototype.chooseThreads = function () {
  if (this.threadsBox) { this.threadsBox.remove(); this.threadsBox = null; this.threadsButton.focus(); return; }
  const box = this.threadsBox = part('div', 'threads', this.app, undefined, { role: 'dialog', 'aria-label': 'Threads' });
  box.style.top = (this.threadsButton.getBoundingClientRect().bottom - this.app.getBoundingClientRect().top + 2) + 'px';
  this.base.readSamples();
  const model = this.base, chosen = new Set(this.state.threads || model.threads.map((_, n) => n)), boxes = [];
  const apply = () => this.go({ threads: chosen.size === model.threads.length ? null : Array.from(chosen).sort((a, b) => a - b) });
  const line = element('div', {}, box);
  const all = (text, wanted) => {
    const button = element('button', { type: 'button' }, line, text);
    button.addEventListener('click', () => {
      chosen.clear();
      if (wanted) model.threads.forEach((_, n) => chosen.add(n));
      boxes.forEach(check => { check.checked = wanted; });
      apply();
    });
    return button;
  };
  all('All', true).focus();
  all('None', false);
  const close = element('button', { type: 'button' }, line, 'Close');
  close.addEventListener('click', () => this.chooseThreads());
  const order = model.threads.map((_, n) => n).filter(n => model.threads[n].samples || model.threads[n].value).sort((a, b) => model.threads[b].value - model.threads[a].value);
  for (const n of order.slice(0, 300)) {
    const thread = model.threads[n], label_ = element('label', {}, box), check = element('input', { type: 'checkbox' }, label_);
    check.checked = chosen.has(n);
    boxes[n] = check;
    check.addEventListener('change', () => { if (check.checked) chosen.add(n); else chosen.delete(n); apply(); });
    label_.appendChild(document.createTextNode(' ' + begin(thread.name, 40) + '-' + thread.tid + (thread.name !== thread.process ? ' of ' + begin(thread.process, 40) : '') + ': ' + quantity(thread.value, model.unit)));
  }
  if (order.length > 300) element('div', {}, box, countOf(order.length - 300, 'thread') + ' more, each with less');
};
