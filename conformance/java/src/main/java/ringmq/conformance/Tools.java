package ringmq.conformance;

import java.util.ArrayList;
import java.util.List;
import java.util.regex.Pattern;

/** Apache's mqadmin, by way of the runner, and what it printed. */
final class Tools {
    private Tools() {
    }

    /** The lines of one command. */
    static List<String> mqadmin(String command) throws Exception {
        return List.of(Runner.ask("mqadmin " + command).split("\u001e"));
    }

    /** The same; each pattern must be found in some line. */
    static List<String> prints(String command, String... patterns) throws Exception {
        List<String> lines = new ArrayList<>(mqadmin(command));
        lines.removeIf(line -> line.contains("|-INFO") || line.contains("|-WARN"));
        for (String pattern : patterns) {
            Check.that(has(lines, pattern), "mqadmin " + command + " does not print " + pattern
                + ", but: " + String.join(" | ", lines));
        }
        return lines;
    }

    static boolean has(List<String> lines, String pattern) {
        Pattern compiled = Pattern.compile(pattern);
        return lines.stream().anyMatch(line -> compiled.matcher(line).find());
    }
}
