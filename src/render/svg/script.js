// What a reader may do with the picture; without it the picture is whole. It reads the picture's own elements (see
// svg/mod.rs) and makes its controls itself. Everything is local to this one picture, so that several fit on a page.
(function () {
  'use strict';
  var script = document.currentScript;
  var svg = script && script.parentNode;
  if (!svg || !svg.getAttribute || svg.getAttribute('data-flameprofile') !== 'still') return;
  svg.setAttribute('data-flameprofile', 'live');

  var SVG = 'http://www.w3.org/2000/svg', HTML = 'http://www.w3.org/1999/xhtml';
  var MATCH = '#ea72e0', HIDDEN_BELOW = 0.05;
  var alone = document.documentElement === svg;
  var part = function (name) { return svg.querySelector('[data-part="' + name + '"]'); };
  var head = part('head'), foot = part('foot'), frames = part('frames'), labels = part('labels');
  var view = svg.viewBox.baseVal, width = view.width, height = view.height;
  var title = svg.getAttribute('aria-label');

  // ---- The tree: frames are in pre-order, `y` tells the depth, `data-weights` the exact width.

  var rects = frames ? Array.prototype.slice.call(frames.children) : [];
  var count = rects.length;
  var setting = function (name) { return frames ? Number(frames.getAttribute('data-' + name)) : 0; };
  var margin = setting('margin') || 10, pitch = setting('pitch'), advance = setting('advance');
  var inset = setting('inset'), gap = setting('gap');
  var weights = frames ? frames.getAttribute('data-weights').split(' ').map(Number) : [];
  var parent = new Int32Array(count), end = new Int32Array(count), start = new Float64Array(count);
  var top = new Float64Array(count), merged = new Uint8Array(count), fills = new Array(count);
  var index = new Map();
  (function () {
    var open = [], used = new Float64Array(count);
    for (var i = 0; i < count; i++) {
      var rect = rects[i];
      top[i] = Number(rect.getAttribute('y'));
      merged[i] = rect.hasAttribute('data-merged') ? 1 : 0;
      fills[i] = rect.getAttribute('fill');
      index.set(rect, i);
      var depth = Math.round((top[0] - top[i]) / pitch);
      open.length = depth;
      parent[i] = depth ? open[depth - 1] : 0;
      start[i] = depth ? used[parent[i]] : 0;
      used[parent[i]] += depth ? weights[i] : 0;
      used[i] = start[i];
      open.push(i);
      end[i] = i + 1;
    }
    for (i = count - 1; i > 0; i--) if (end[i] > end[parent[i]]) end[parent[i]] = end[i];
  })();
  var words = function (i) { return rects[i].firstChild.textContent.split('\n'); };
  var name = function (i) { return words(i)[0]; };

  // ---- Text in a given space, as `label::fit`, `name::column_of` and `page::wrap` do it.

  function columnsOf(c) {
    var code = c.codePointAt(0);
    if (code < 0x300) return 1;
    if (code <= 0x36f || (code >= 0x200b && code <= 0x200d) || (code >= 0xfe00 && code <= 0xfe0f)) return 0;
    return (code >= 0x1100 && code <= 0x115f) || (code >= 0x2e80 && code <= 0xa4cf) || (code >= 0xac00 && code <= 0xd7a3) ||
      (code >= 0xf900 && code <= 0xfaff) || (code >= 0xfe30 && code <= 0xfe6f) || (code >= 0xff00 && code <= 0xff60) ||
      (code >= 0xffe0 && code <= 0xffe6) || (code >= 0x1f300 && code <= 0x1faff) || (code >= 0x20000 && code <= 0x3fffd) ? 2 : 1;
  }
  function columns(text) {
    var sum = 0;
    for (var c of text) sum += columnsOf(c);
    return sum;
  }
  function begin(text, room) {
    var used = 0, taken = '';
    for (var c of text) {
      used += columnsOf(c);
      if (used > room) break;
      taken += c;
    }
    return taken;
  }
  function fold(text) {
    if (text.indexOf('operator') >= 0) return text;
    var folded = '', depth = 0, before = ' ';
    for (var i = 0; i < text.length; before = text[i], i++) {
      var c = text[i];
      if (c === '<') {
        if (i === 0) return text;
        if (depth++ === 0) folded += '<\u2026>';
      } else if (c === '>' && before === '-') {
        continue;
      } else if (c === '>') {
        if (depth-- === 0) return text;
      } else if (c === '(' && depth === 0 && i > 0 && before !== ':' && text.indexOf(')::', i) < 0 &&
        text.indexOf('const::', i) < 0) {
        break;
      } else if (depth === 0) {
        folded += c;
      }
    }
    return depth === 0 && folded ? folded : text;
  }
  function label(text, room) {
    if (room < 2) return '';
    if (columns(text) <= room) return text;
    var rest = text[0] === '[' ? text : fold(text), at;
    if (columns(rest) <= room) return rest;
    var whole = rest;
    while (text[0] !== '[' && (at = rest.indexOf('::')) >= 0) {
      rest = rest.slice(at + 2);
      if (rest && columns(rest) < room) return '\u2026' + rest;
    }
    return room < 3 ? '' : begin(rest || whole, room - 1) + '\u2026';
  }
  function wrap(text, room) {
    var lines = [], line = '';
    text.split(' ').forEach(function (word) {
      if (line && columns(line) + 1 + columns(word) > room) { lines.push(line); line = ''; }
      while (columns(word) > room) {
        var first = begin(word, room);
        lines.push(first);
        word = word.slice(first.length);
      }
      line += (line ? ' ' : '') + word;
    });
    lines.push(line);
    return lines;
  }

  function make(namespace, tag, attributes, into) {
    var element = document.createElementNS(namespace, tag);
    for (var key in attributes) element.setAttribute(key, attributes[key]);
    if (into) into.appendChild(element);
    return element;
  }

  // ---- The frames at their places: all, or those of `zoomed` and its callers.

  var zoomed = 0, shown = new Uint8Array(count).fill(1), left = new Float64Array(count), wide = new Float64Array(count);
  var above = new Uint8Array(count), faded = new Uint8Array(count);

  function draw() {
    if (!count) return;
    var inner = width - 2 * margin, scale = inner / (weights[zoomed] || 1), text = document.createDocumentFragment();
    above.fill(0);
    for (var at = zoomed; at > 0; at = parent[at]) above[parent[at]] = 1;
    for (var i = 0; i < count; i++) {
      var x = margin, w = inner;
      if (!above[i]) {
        x += (start[i] - start[zoomed]) * scale;
        w = weights[i] * scale;
      }
      var visible = above[i] || (i >= zoomed && i < end[zoomed] && w >= HIDDEN_BELOW) || i === zoomed;
      var rect = rects[i];
      if (!visible) {
        if (shown[i]) { rect.setAttribute('display', 'none'); shown[i] = 0; }
        continue;
      }
      if (!shown[i]) { rect.removeAttribute('display'); shown[i] = 1; }
      if (x !== left[i] || w !== wide[i]) {
        rect.setAttribute('x', x.toFixed(2));
        rect.setAttribute('width', (w > 3 * gap ? w - gap : w).toFixed(2));
        left[i] = x;
        wide[i] = w;
      }
      if (above[i] !== faded[i]) {
        if (above[i]) rect.setAttribute('fill-opacity', '.45'); else rect.removeAttribute('fill-opacity');
        faded[i] = above[i];
      }
      var room = Math.floor((w - 2 * inset) / advance);
      if (room < 2) continue;
      var fitted = label(name(i), room);
      if (fitted) make(SVG, 'text', { x: (x + inset).toFixed(2), y: top[i] + 12.5 }, text).textContent = fitted;
    }
    labels.textContent = '';
    labels.appendChild(text);
    point(pointed);
    reset.disabled = zoomed === 0;
    reset.style.opacity = zoomed ? '1' : '.55';
  }

  function zoom(i) {
    zoomed = merged[i] ? parent[i] : i;
    draw();
    report(i);
  }

  // ---- The page around them: text wrapped to the width, blocks below each other.

  var frameTop = top.reduce(function (least, y) { return Math.min(least, y); }, count ? top[0] : 0);
  var frameHeight = count ? top[0] - frameTop + pitch : 0;

  function flow(group, y) {
    Array.prototype.forEach.call(group.children, function (block) {
      block.setAttribute('transform', 'translate(0 ' + y + ')');
      y += (block.getAttribute('data-flow') === 'keys' ? flowKeys(block) : flowText(block)) + 6;
    });
    return y;
  }
  function flowText(block) {
    var number = function (key) { return Number(block.getAttribute('data-' + key)); };
    var size = number('size'), x = number('left'), padding = number('padding'), pace = Math.round(size * 1.35);
    var text = block.querySelector('text'), box = block.querySelector('rect');
    if (block.flameText === undefined) {
      block.flameText = Array.prototype.map.call(text.children, function (line) { return line.textContent; }).join(' ');
    }
    var lines = wrap(block.flameText, Math.floor(Math.max(10, (width - x - margin - padding) / (size * number('advance')))));
    text.textContent = '';
    lines.forEach(function (line, row) {
      make(SVG, 'tspan', { x: x, y: padding + size + row * pace }, text).textContent = line;
    });
    var tall = 2 * padding + lines.length * pace;
    if (box) {
      box.setAttribute('width', width - 2 * margin);
      box.setAttribute('height', tall);
    }
    return tall;
  }
  function flowKeys(block) {
    var x = margin, y = 0;
    Array.prototype.forEach.call(block.children, function (key) {
      var w = Number(key.getAttribute('data-width'));
      if (x > margin && x + w > width - margin) { x = margin; y += 18; }
      key.setAttribute('transform', 'translate(' + x + ' ' + y + ')');
      x += w;
    });
    return y + 14;
  }

  function arrange() {
    if (alone) width = Math.max(320, svg.clientWidth || window.innerWidth);
    var y = flow(head, margin), shift = 'translate(0 ' + (y - frameTop) + ')';
    if (count) {
      [frames, labels, cursor].forEach(function (group) { group.setAttribute('transform', shift); });
    }
    barHeight = width < 760 ? 84 : 46;
    height = flow(foot, y + frameHeight + 6) + 4 + barHeight;
    svg.setAttribute('viewBox', '0 0 ' + width + ' ' + height);
    if (alone) {
      svg.setAttribute('width', width);
      svg.setAttribute('height', height);
    } else if (!arranged) {
      svg.setAttribute('height', height);
    }
    arranged = true;
    bar.setAttribute('width', width);
    bar.setAttribute('height', barHeight);
    panel.style.flexWrap = width < 760 ? 'wrap' : 'nowrap';
    details.style.flexBasis = width < 760 ? '100%' : '0';
    draw();
    pin();
  }

  // ---- The bar: details and search, always at the lower edge of what is seen of the picture.

  var barHeight = 46, arranged = false;
  var cursor = make(SVG, 'rect', { fill: 'none', stroke: '#1b1b1f', 'stroke-width': 1.5, 'pointer-events': 'none', display: 'none' }, svg);
  var bar = make(SVG, 'foreignObject', { x: 0, y: 0, width: width, height: barHeight, 'data-part': 'bar' }, svg);
  function html(tag, role, style, into) {
    var element = make(HTML, tag, role ? { 'data-part': role } : {}, into);
    for (var key in style) element.style[key] = style[key];
    return element;
  }
  var panel = html('div', '', {
    boxSizing: 'border-box', height: '100%', display: 'flex', alignItems: 'center', gap: '4px 10px', padding: '3px 10px',
    background: '#f3f3f6', borderTop: '1px solid #b4b4bd', color: '#1b1b1f', font: '12px/1.4 system-ui,sans-serif'
  }, bar);
  var oneLine = { whiteSpace: 'pre', overflow: 'hidden', textOverflow: 'ellipsis', minHeight: '17px' };
  var details = html('div', 'details', { flex: '1 1 0', minWidth: '0' }, panel);
  var detailName = html('div', 'name', oneLine, details);
  var detailNumbers = html('div', 'numbers', oneLine, details);
  detailName.style.fontFamily = labels ? labels.getAttribute('font-family') : 'monospace';
  detailName.style.fontWeight = '600';
  details.setAttribute('aria-live', 'polite');
  var match = html('span', 'match', { maxWidth: '360px', textAlign: 'right' }, panel);
  match.setAttribute('role', 'status');
  var field = { font: 'inherit', color: 'inherit', background: '#fff', border: '1px solid #8a8a92', borderRadius: '4px', padding: '3px 6px' };
  var input = html('input', 'search', field, panel);
  input.type = 'text';
  input.placeholder = 'Search (regular expression)';
  input.setAttribute('aria-label', 'Search frames by a regular expression');
  input.style.width = '200px';
  input.style.flex = '0 1 200px';
  input.style.minWidth = '80px';
  input.spellcheck = false;
  var exact = html('button', 'case', field, panel);
  exact.textContent = 'Aa';
  exact.title = 'Match case';
  exact.setAttribute('aria-label', 'Match case');
  exact.setAttribute('aria-pressed', 'false');
  var reset = html('button', 'reset', field, panel);
  reset.textContent = 'Reset zoom';
  reset.disabled = true;
  reset.style.whiteSpace = 'nowrap';
  if (!count) [input, exact, reset].forEach(function (control) { control.style.display = 'none'; });

  function pin() {
    var box = svg.getBoundingClientRect(), scale = box.height ? height / box.height : 1;
    var y = (Math.min(window.innerHeight, box.bottom) - box.top) * scale - barHeight;
    bar.setAttribute('y', Math.max(0, Math.min(y, height - barHeight)).toFixed(1));
  }

  var pointed = -1;
  function point(i) {
    pointed = i;
    if (i < 0 || !shown[i]) return cursor.setAttribute('display', 'none');
    cursor.setAttribute('x', left[i]);
    cursor.setAttribute('y', top[i]);
    cursor.setAttribute('width', Math.max(1, wide[i] - gap));
    cursor.setAttribute('height', pitch - 1);
    cursor.removeAttribute('display');
  }
  function report(i) {
    point(i);
    if (i >= 0) {
      var lines = words(i);
      detailName.textContent = lines[0];
      detailNumbers.textContent = lines.slice(1).join(' \u00b7 ');
      return;
    }
    var warning = svg.querySelector('[data-part="head"] [data-padding="6"]');
    detailName.textContent = warning ? warning.flameText || warning.textContent.trim() : title;
    detailNumbers.textContent = count ? 'Click: zoom \u00b7 arrow keys: walk \u00b7 Esc: reset \u00b7 Ctrl-F or /: search' : '';
  }

  // ---- Search: on the bare name; a frame below a match is not counted again.

  function percent(share) {
    var text = (share * 100).toFixed(2);
    if (text === '0.00') return share > 0 ? '<0.01 %' : '0 %';
    if (text === '100.00') return share < 1 - 1e-12 ? '>99.99 %' : '100 %';
    return text + ' %';
  }
  function paint(i, fill) {
    if (rects[i].getAttribute('fill') !== fill) rects[i].setAttribute('fill', fill);
  }
  function search() {
    var pattern = input.value, wanted = null, found = 0, sum = 0, unseen = 0, counted = 0;
    match.style.color = 'inherit';
    match.textContent = '';
    if (pattern) {
      try {
        wanted = new RegExp(pattern, exact.getAttribute('aria-pressed') === 'true' ? '' : 'i');
      } catch (error) {
        match.style.color = '#a1001a';
        match.textContent = 'Not a regular expression: ' + String(error.message).split(':').pop().trim();
      }
    }
    for (var i = 0; i < count; i++) {
      var hit = wanted && i > 0 && !merged[i] && wanted.test(name(i));
      paint(i, hit ? MATCH : fills[i]);
      if (hit) found++;
      if (i < counted) continue;
      if (hit) { sum += weights[i]; counted = end[i]; } else if (merged[i]) unseen += weights[i];
    }
    if (!wanted) return;
    match.textContent = percent(sum / weights[0]) + ' matched, ' + found + (found === 1 ? ' frame' : ' frames') +
      (unseen ? '; ' + percent(unseen / weights[0]) + ' merged, not searched' : '');
  }

  // ---- What the reader does.

  var later = 0;
  function soon(act, delay) { clearTimeout(later); later = setTimeout(act, delay); }
  input.addEventListener('input', function () { soon(search, 100); });
  exact.addEventListener('click', function () {
    var on = exact.getAttribute('aria-pressed') !== 'true';
    exact.setAttribute('aria-pressed', String(on));
    exact.style.background = on ? '#d9d9f2' : '#fff';
    search();
  });
  reset.addEventListener('click', function () { zoom(0); });
  if (frames) {
    frames.addEventListener('mouseover', function (event) {
      var rect = event.target.closest('rect');
      if (index.has(rect)) report(index.get(rect));
    });
    frames.addEventListener('mouseleave', function () { report(-1); });
    frames.addEventListener('click', function (event) {
      var rect = event.target.closest('rect');
      if (index.has(rect)) zoom(index.get(rect));
    });
    frames.setAttribute('tabindex', '0');
    frames.setAttribute('role', 'application');
    frames.setAttribute('aria-label', 'Frames: arrow keys walk, Enter zooms, Escape resets');
    frames.style.outline = 'none';
    frames.style.cursor = 'pointer';
    svg.setAttribute('role', 'group');
  }

  function seen(i) { return i > 0 && i < count && shown[i]; }
  function walk(key) {
    var i = Math.max(pointed, 0), next = i, child;
    if (pointed < 0) next = zoomed;
    else if (key === 'ArrowDown') next = parent[i];
    else if (key === 'ArrowUp') {
      for (child = i + 1; child < end[i]; child = end[child]) {
        if (seen(child) && (next === i || weights[child] > weights[next])) next = child;
      }
    } else {
      var before = i;
      for (child = parent[i] + 1; child < end[parent[i]]; child = end[child]) {
        if (!seen(child)) continue;
        if (key === 'ArrowLeft' && child < i) before = child;
        if (key === 'ArrowRight' && child > i) { before = child; break; }
      }
      next = before;
    }
    report(next);
    var box = rects[next].getBoundingClientRect(), free = window.innerHeight - barHeight;
    if (box.top < 0) window.scrollBy(0, box.top - 10);
    else if (box.bottom > free) window.scrollBy(0, box.bottom - free + 10);
  }
  (alone ? document : svg).addEventListener('keydown', function (event) {
    var key = event.key, typing = event.target === input;
    if (!count || event.altKey) return;
    if (((event.ctrlKey || event.metaKey) && key === 'f') || key === 'F3' || (key === '/' && !typing)) {
      input.focus();
      input.select();
    } else if (event.ctrlKey || event.metaKey) {
      return;
    } else if (key === 'Escape') {
      if (typing && input.value) { input.value = ''; search(); } else { zoom(0); report(-1); }
    } else if (typing) {
      if (key === 'Enter') search();
      return;
    } else if (/^Arrow/.test(key)) {
      walk(key);
    } else if ((key === 'Enter' || key === ' ') && pointed >= 0 && event.target.tagName.toLowerCase() !== 'button') {
      zoom(pointed);
    } else {
      return;
    }
    event.preventDefault();
  });
  window.addEventListener('scroll', pin, true);
  var resizing = 0;
  window.addEventListener('resize', function () {
    cancelAnimationFrame(resizing);
    resizing = requestAnimationFrame(alone ? arrange : pin);
  });
  window.addEventListener('beforeprint', function () { bar.setAttribute('display', 'none'); });
  window.addEventListener('afterprint', function () { bar.removeAttribute('display'); });

  arrange();
  report(-1);
  // The root is at the bottom: begin there.
  if (alone && height > window.innerHeight) window.scrollTo(0, height);
})();
