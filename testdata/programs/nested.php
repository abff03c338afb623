<?php
// php nested.php SECONDS: main calls outer, outer calls middle, middle calls hot; a sort calls back.
function hot($turns, $x) {
    for ($i = 0; $i < $turns; $i++) $x = ($x * 1664525 + 1013904223) & 0xffffffff;
    return $x;
}

function middle($x) {
    $sum = 0;
    for ($i = 0; $i < 10; $i++) $sum += hot(100, $x + $i);
    return $sum & 0xffffffff;
}

function sorts($x) {
    $words = [];
    for ($i = 0; $i < 200; $i++) $words[] = dechex($x * 31 + $i & 0xffffff);
    usort($words, fn($a, $b) => strcmp($a, $b));
    return strlen($words[0]);
}

function outer($until) {
    $x = 1;
    while (hrtime(true) < $until) $x = middle($x) + sorts($x);
    return $x;
}

fprintf(STDERR, "%d\n", outer(hrtime(true) + (float)($argv[1] ?? 1) * 1e9));
