package hooks

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// DefaultTimeout bounds the run of a command that does not say it
// (velero-facts §3.4).
const DefaultTimeout = 30 * time.Second

// Stage is when a hook is run.
type Stage string

// The stages.
const (
	Pre      Stage = "pre"     // before the volumes of a pod are backed up
	Post     Stage = "post"    // after them
	Restored Stage = "restore" // when a restored pod runs
)

// Source says where a hook was found.
type Source string

// The sources. An annotation of a pod replaces all hooks of the spec for that pod
// and stage.
const (
	FromAnnotation Source = "annotation"
	FromSpec       Source = "spec"
)

// Hook is one command in one container.
type Hook struct {
	Stage  Stage  `json:"stage"`
	Source Source `json:"source"`

	// Name is that of the entry in the spec; "" for an annotation.
	Name string `json:"name,omitempty"`

	// Container is where the command runs. It is a container of the pod, unless
	// Problem says that it is not.
	Container string `json:"container,omitempty"`

	// Command is the program and its arguments. It is not run in a shell.
	Command []string `json:"command,omitempty"`

	// OnError is empty when nobody said it. A backup then takes the pod's volumes
	// all the same, and a restore goes on with the next hook.
	OnError velerov1.HookErrorMode `json:"onError,omitempty"`

	// Timeout bounds the run; it is more than zero.
	Timeout metav1.Duration `json:"timeout"`

	// WaitTimeout bounds the time until the container of a restored pod is up; zero
	// means no limit of its own. WaitForReady asks for a ready container and not
	// only a running one. Both are for Restored only.
	WaitTimeout  metav1.Duration `json:"waitTimeout,omitzero"`
	WaitForReady bool            `json:"waitForReady,omitempty"`

	// Problem says why the hook cannot be run; "" when it can. Such a hook fails
	// when its turn comes.
	Problem string `json:"problem,omitempty"`
}

// String names a hook for people: `pre hook "freeze" in container db`.
func (h Hook) String() string {
	name := string(h.Stage) + " hook"
	if h.Name != "" {
		name += fmt.Sprintf(" %q", h.Name)
	}
	if h.Container != "" {
		name += " in container " + h.Container
	}
	return name
}

// Problem is an annotation or a field that cannot be used as it is.
type Problem struct {
	Field string // an annotation's key, or the path of a field
	Value string
	Rule  string // what is allowed, and what happens instead
}

// maxValueBytes bounds how much of a value a problem shows; an annotation may have
// 256 KiB.
const maxValueBytes = 200

// String is in the form of the API server's own validation errors.
func (p Problem) String() string {
	value := p.Value
	if len(value) > maxValueBytes {
		value = strings.ToValidUTF8(value[:maxValueBytes], "") + "…"
	}
	return fmt.Sprintf("%s: Invalid value: %q: %s", p.Field, value, p.Rule)
}

// Found is what a pod and a spec say.
type Found struct {
	// Hooks are in the order in which they are run.
	Hooks []Hook

	// Warnings are values that are replaced by defaults.
	Warnings []Problem
}

// In returns the hooks of one stage.
func (f Found) In(stage Stage) []Hook {
	var some []Hook
	for _, h := range f.Hooks {
		if h.Stage == stage {
			some = append(some, h)
		}
	}
	return some
}

// parseCommand reads the value of a command annotation: a JSON array of strings
// when it begins with a bracket, else one word.
func parseCommand(raw string) ([]string, error) {
	text := strings.TrimSpace(raw)
	if !strings.HasPrefix(text, "[") {
		return []string{raw}, nil
	}
	var words []string
	if err := json.Unmarshal([]byte(text), &words); err != nil {
		return nil, fmt.Errorf(`must be a JSON array of strings such as ["/bin/sh", "-c", "sync"], or one word: %w`, err)
	}
	if len(words) == 0 || words[0] == "" {
		return nil, fmt.Errorf("must name a program as the first element")
	}
	return words, nil
}

// targets are the containers of a pod that a command can run in: those that stay
// up (velero-facts §3.4).
func targets(pod *corev1.Pod) []string {
	var names []string
	for _, c := range pod.Spec.Containers {
		names = append(names, c.Name)
	}
	for _, c := range pod.Spec.InitContainers {
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			names = append(names, c.Name)
		}
	}
	return names
}

// inContainer fills in the container of a hook. field and asked are for the
// problem that a pod does not have it.
func inContainer(h Hook, pod *corev1.Pod, field, asked string) Hook {
	names := targets(pod)
	h.Container = asked
	switch {
	case h.Problem != "":
	case asked == "" && len(names) == 0:
		h.Problem = "the pod has no containers"
	case asked == "":
		h.Container = names[0]
	case !slices.Contains(names, asked):
		h.Problem = Problem{Field: field, Value: asked,
			Rule: "must be a container of the pod that stays up, one of: " + strings.Join(names, ", ")}.String()
	}
	return h
}
