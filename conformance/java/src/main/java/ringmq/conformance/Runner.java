package ringmq.conformance;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;

/**
 * The dialogue with the runner that started this JVM: requests and notes go out as lines, answers
 * come back as lines.
 */
final class Runner {
    private static final BufferedReader ANSWERS =
        new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));

    private Runner() {
    }

    /**
     * Asks for something only the runner can do (restart the broker, kill a name server); returns
     * when it is done.
     */
    static String ask(String what) throws IOException {
        say("@ASK " + what);
        String answer = ANSWERS.readLine();
        Check.that(answer != null && answer.startsWith("ok"), "runner could not do '" + what + "': "
            + answer);
        return answer.length() > 3 ? answer.substring(3) : "";
    }

    /** A figure worth showing beside the verdict. */
    static void note(String text) {
        say("@NOTE " + text);
    }

    static void say(String line) {
        synchronized (System.out) {
            System.out.println(line);
            System.out.flush();
        }
    }
}
