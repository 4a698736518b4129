package hookrun

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/hooks"
	"github.com/podkeep/podkeep/internal/itemlog"
)

// podResource is how results name pods.
const podResource = "pods"

// Log adds to the log and the results of a backup or restore what came of a hook.
// A hook that did not succeed is an error, but for one of a restore that may fail.
// Doing it twice adds nothing to the results.
func Log(log *itemlog.Log, pod hooks.Pod, run hooks.Run) {
	fields := []any{
		"namespace", pod.Namespace, "pod", pod.Name, "hookPhase", run.Stage, "hookSource", run.Source, "hookName", run.Name,
		"hookContainer", run.Container, "hookCommand", strings.Join(run.Command, " "), "hookOnError", run.OnError,
		"stdout", run.Stdout, "stderr", run.Stderr,
	}
	entry := itemlog.Entry{
		Namespace: pod.Namespace, Resource: podResource, Name: pod.Name,
		Message: fmt.Sprintf("The %s of pod %s did not succeed", run.Hook, pod), Err: errors.New(cmp.Or(run.Message, "no message")),
	}
	switch run.State {
	case hooks.Succeeded:
		log.Info("Ran hook", append(fields, "message", run.Message)...)
	case hooks.Skipped:
		log.Info("Skipping hook", append(fields, "reason", run.Message)...)
	case hooks.Failed:
		log.Info("Hook failed", fields...)
		if run.Stderr != "" {
			entry.Err = fmt.Errorf("%s; stderr: %s", run.Message, oneLine(run.Stderr))
		}
		logFailure(log, run, entry)
	case hooks.Dropped:
		entry.Message = fmt.Sprintf("The %s of pod %s was not run", run.Hook, pod)
		log.ErrorOnce(entry)
	default:
		entry.Message = fmt.Sprintf("The %s of pod %s has not ended in time", run.Hook, pod)
		entry.Err = errors.New("nobody waits for it any longer; post hooks are run all the same")
		log.ErrorOnce(entry)
	}
}

// logFailure makes a warning of a command in a restored pod that may fail, as
// Velero documents it (https://velero.io/docs/main/restore-hooks).
func logFailure(log *itemlog.Log, run hooks.Run, entry itemlog.Entry) {
	if run.Stage == hooks.Restored && run.OnError != velerov1.HookErrorModeFail && run.WasStarted() {
		log.WarnOnce(entry)
		return
	}
	log.ErrorOnce(entry)
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
