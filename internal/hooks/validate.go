package hooks

import (
	"encoding/json"
	"fmt"
	"path"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// validator collects what is wrong with a spec. Each problem names its field.
type validator struct{ problems []string }

func (v *validator) invalid(field, value, rule string) {
	v.problems = append(v.problems, Problem{Field: field, Value: value, Rule: rule}.String())
}

func (v *validator) required(field, rule string) {
	v.problems = append(v.problems, field+": Required value: "+rule)
}

// ValidateBackup says what is wrong with the hooks of a Backup; nil when all can
// be used. What depends on a pod, such as the name of a container, is not looked at.
func ValidateBackup(spec velerov1.BackupHooks) []string {
	v := &validator{}
	for i, r := range spec.Resources {
		field := fmt.Sprintf("spec.hooks.resources[%d]", i)
		v.selector(field, selector{r.IncludedNamespaces, r.ExcludedNamespaces, nil, nil, r.LabelSelector})
		for j, h := range r.PreHooks {
			v.backupExec(fmt.Sprintf("%s.pre[%d].exec", field, j), h.Exec)
		}
		for j, h := range r.PostHooks {
			v.backupExec(fmt.Sprintf("%s.post[%d].exec", field, j), h.Exec)
		}
	}
	return v.problems
}

// ValidateRestore says what is wrong with the hooks of a Restore; nil when all can
// be used.
func ValidateRestore(spec velerov1.RestoreHooks) []string {
	v := &validator{}
	for i, r := range spec.Resources {
		field := fmt.Sprintf("spec.hooks.resources[%d]", i)
		v.selector(field, selector{r.IncludedNamespaces, r.ExcludedNamespaces, nil, nil, r.LabelSelector})
		for j, h := range r.PostHooks {
			v.restoreHook(fmt.Sprintf("%s.postHooks[%d]", field, j), h)
		}
	}
	return v.problems
}

func (v *validator) selector(field string, s selector) {
	for _, list := range []struct {
		field    string
		patterns []string
	}{{"includedNamespaces", s.includedNamespaces}, {"excludedNamespaces", s.excludedNamespaces}} {
		for i, p := range list.patterns {
			if _, err := path.Match(p, ""); err != nil {
				v.invalid(fmt.Sprintf("%s.%s[%d]", field, list.field, i), p, "must be the name of a namespace or a pattern of *, ? and [abc]")
			}
		}
	}
	if s.labels == nil {
		return
	}
	if _, err := metav1.LabelSelectorAsSelector(s.labels); err != nil {
		v.invalid(field+".labelSelector", metav1.FormatLabelSelector(s.labels), err.Error())
	}
}

func (v *validator) backupExec(field string, h *velerov1.ExecHook) {
	if h == nil {
		v.required(field, "a hook of a backup runs a command")
		return
	}
	v.command(field, h.Command, h.OnError)
	v.duration(field+".timeout", h.Timeout)
}

func (v *validator) restoreHook(field string, h velerov1.RestoreResourceHook) {
	if h.Exec == nil && h.Init == nil {
		v.required(field, "a hook of a restore has exec or init")
	}
	if h.Exec != nil {
		v.command(field+".exec", h.Exec.Command, h.Exec.OnError)
		v.duration(field+".exec.execTimeout", h.Exec.ExecTimeout)
		v.duration(field+".exec.waitTimeout", h.Exec.WaitTimeout)
	}
	if h.Init == nil {
		return
	}
	for i, raw := range h.Init.InitContainers {
		v.initContainer(fmt.Sprintf("%s.init.initContainers[%d]", field, i), raw.Raw)
	}
}

func (v *validator) command(field string, command []string, onError velerov1.HookErrorMode) {
	if len(command) == 0 || command[0] == "" {
		v.required(field+".command", "the program and its arguments")
	}
	switch onError {
	case "", velerov1.HookErrorModeContinue, velerov1.HookErrorModeFail:
	default:
		v.invalid(field+".onError", string(onError), "must be Continue or Fail")
	}
}

func (v *validator) duration(field string, d metav1.Duration) {
	if d.Duration < 0 {
		v.invalid(field, d.Duration.String(), "must not be negative")
	}
}

// initContainer asks for what Velero asks for (velero-facts §3.4).
func (v *validator) initContainer(field string, raw []byte) {
	var c corev1.Container
	if err := json.Unmarshal(raw, &c); err != nil {
		v.invalid(field, string(raw), "must be a container: "+err.Error())
		return
	}
	if len(validation.IsDNS1123Label(c.Name)) > 0 {
		v.invalid(field+".name", c.Name, "must be a DNS label")
	}
	if c.Image == "" {
		v.required(field+".image", "the image of the container")
	}
	if len(c.Command) == 0 || c.Command[0] == "" {
		v.required(field+".command", "the program and its arguments")
	}
}
