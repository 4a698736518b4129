package hooks

import (
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// keys are the annotations that make up one hook; "" for what it does not have.
type keys struct {
	stage                                Stage
	command, container, onError, timeout string
	waitTimeout, waitForReady            string
}

var (
	preKeys = keys{
		stage:   Pre,
		command: velerov1.PreBackupHookCommandAnnotation, container: velerov1.PreBackupHookContainerAnnotation,
		onError: velerov1.PreBackupHookOnErrorAnnotation, timeout: velerov1.PreBackupHookTimeoutAnnotation,
	}
	legacyKeys = keys{
		stage:   Pre,
		command: velerov1.LegacyBackupHookCommandAnnotation, container: velerov1.LegacyBackupHookContainerAnnotation,
		onError: velerov1.LegacyBackupHookOnErrorAnnotation, timeout: velerov1.LegacyBackupHookTimeoutAnnotation,
	}
	postKeys = keys{
		stage:   Post,
		command: velerov1.PostBackupHookCommandAnnotation, container: velerov1.PostBackupHookContainerAnnotation,
		onError: velerov1.PostBackupHookOnErrorAnnotation, timeout: velerov1.PostBackupHookTimeoutAnnotation,
	}
	restoredKeys = keys{
		stage:   Restored,
		command: velerov1.PostRestoreHookCommandAnnotation, container: velerov1.PostRestoreHookContainerAnnotation,
		onError: velerov1.PostRestoreHookOnErrorAnnotation, timeout: velerov1.PostRestoreHookExecTimeoutAnnotation,
		waitTimeout: velerov1.PostRestoreHookWaitTimeoutAnnotation, waitForReady: velerov1.PostRestoreHookWaitForReadyAnnotation,
	}
)

// annotated is the hook that a pod's annotations ask for.
func annotated(pod *corev1.Pod, k keys) (Found, bool) {
	raw, present := pod.Annotations[k.command]
	if !present {
		return Found{}, false
	}
	r := reader{annotations: pod.Annotations}
	if raw == "" {
		r.complain(k.command, "must not be empty; no command is run")
		return Found{Warnings: r.problems}, false
	}
	h := Hook{
		Stage:        k.stage,
		Source:       FromAnnotation,
		OnError:      r.onError(k.onError),
		Timeout:      metav1.Duration{Duration: r.timeout(k.timeout)},
		WaitTimeout:  metav1.Duration{Duration: r.waitTimeout(k.waitTimeout)},
		WaitForReady: r.flag(k.waitForReady),
	}
	var err error
	if h.Command, err = parseCommand(raw); err != nil {
		h.Problem = Problem{Field: "annotation " + k.command, Value: raw, Rule: err.Error()}.String()
	}
	h = inContainer(h, pod, "annotation "+k.container, pod.Annotations[k.container])
	return Found{Hooks: []Hook{h}, Warnings: r.problems}, true
}

// reader reads annotations that have a default. A value that cannot be read is a
// problem and the default holds, as in Velero.
type reader struct {
	annotations map[string]string
	problems    []Problem
}

func (r *reader) complain(key, rule string) {
	r.problems = append(r.problems, Problem{Field: "annotation " + key, Value: r.annotations[key], Rule: rule})
}

func (r *reader) onError(key string) velerov1.HookErrorMode {
	switch mode := velerov1.HookErrorMode(r.annotations[key]); mode {
	case "", velerov1.HookErrorModeContinue, velerov1.HookErrorModeFail:
		return mode
	default:
		r.complain(key, "must be Continue or Fail; it counts as not set")
		return ""
	}
}

func (r *reader) timeout(key string) time.Duration {
	d, ok := r.duration(key)
	if !ok || d <= 0 {
		if r.annotations[key] != "" {
			r.complain(key, "must be a positive duration such as 30s; "+DefaultTimeout.String()+" is used")
		}
		return DefaultTimeout
	}
	return d
}

func (r *reader) waitTimeout(key string) time.Duration {
	d, ok := r.duration(key)
	if !ok || d < 0 {
		if r.annotations[key] != "" {
			r.complain(key, "must be a duration such as 5m; the command waits as long as the restore does")
		}
		return 0
	}
	return d
}

func (r *reader) duration(key string) (time.Duration, bool) {
	d, err := time.ParseDuration(r.annotations[key])
	return d, err == nil
}

func (r *reader) flag(key string) bool {
	raw := r.annotations[key]
	if raw == "" {
		return false
	}
	b, err := strconv.ParseBool(raw)
	if err != nil {
		r.complain(key, "must be true or false; the command does not wait until the container is ready")
	}
	return b
}
