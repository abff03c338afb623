/** java Nested SECONDS: main calls outer, outer calls middle, middle calls hot; a sort calls back. */
public final class Nested {
    static int hot(int turns, int x) {
        for (int i = 0; i < turns; i++) x = x * 1664525 + 1013904223;
        return x;
    }

    static int middle(int x) {
        int sum = 0;
        for (int i = 0; i < 20; i++) sum += hot(3000, x + i);
        return sum;
    }

    static int sorts(int x) {
        String[] words = new String[200];
        for (int i = 0; i < words.length; i++) words[i] = Integer.toHexString(x * 1664525 + i * 31);
        java.util.Arrays.sort(words, (a, b) -> a.compareTo(b));
        return words[0].length();
    }

    static int outer(long until) {
        int x = 1;
        while (System.nanoTime() < until) x = middle(x) + sorts(x);
        return x;
    }

    public static void main(String[] arguments) {
        double seconds = arguments.length > 0 ? Double.parseDouble(arguments[0]) : 1;
        System.err.println(outer(System.nanoTime() + (long) (seconds * 1e9)));
    }
}
