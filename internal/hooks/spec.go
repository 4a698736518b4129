package hooks

import (
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// ForBackup returns the hooks of a pod that is backed up: those before its volumes
// are read, and then those after.
func ForBackup(pod *corev1.Pod, spec velerov1.BackupHooks) Found {
	var all Found
	pre, ok := annotated(pod, preKeys)
	if !ok {
		var legacy Found
		legacy, ok = annotated(pod, legacyKeys)
		pre.Hooks, pre.Warnings = legacy.Hooks, append(pre.Warnings, legacy.Warnings...)
	}
	if !ok {
		pre.Hooks = fromBackupSpec(pod, spec, Pre)
	}
	post, ok := annotated(pod, postKeys)
	if !ok {
		post.Hooks = fromBackupSpec(pod, spec, Post)
	}
	all.Hooks = append(pre.Hooks, post.Hooks...)
	all.Warnings = append(pre.Warnings, post.Warnings...)
	return all
}

func fromBackupSpec(pod *corev1.Pod, spec velerov1.BackupHooks, stage Stage) []Hook {
	var found []Hook
	for _, r := range spec.Resources {
		s := selector{r.IncludedNamespaces, r.ExcludedNamespaces, r.IncludedResources, r.ExcludedResources, r.LabelSelector}
		if !s.matches(pod, []string{pod.Namespace}) {
			continue
		}
		list := r.PreHooks
		if stage == Post {
			list = r.PostHooks
		}
		for _, h := range list {
			if h.Exec == nil {
				continue // the schema and ValidateBackup refuse it
			}
			found = append(found, inContainer(Hook{
				Stage: stage, Source: FromSpec, Name: r.Name, Command: h.Exec.Command, OnError: h.Exec.OnError,
				Timeout: orDefault(h.Exec.Timeout),
			}, pod, "spec.hooks.resources["+r.Name+"]: exec.container", h.Exec.Container))
		}
	}
	return found
}

// ForRestore returns the commands to run in a restored pod. namespaces are its
// namespace in the backup and the one it is restored into: a spec may name either.
// pod is the pod as it is created.
func ForRestore(pod *corev1.Pod, namespaces []string, spec velerov1.RestoreHooks) Found {
	found, ok := annotated(pod, restoredKeys)
	if ok {
		return found
	}
	for _, r := range spec.Resources {
		if !restoreSelector(r).matches(pod, namespaces) {
			continue
		}
		for _, h := range r.PostHooks {
			if h.Exec == nil {
				continue
			}
			found.Hooks = append(found.Hooks, inContainer(Hook{
				Stage: Restored, Source: FromSpec, Name: r.Name, Command: h.Exec.Command, OnError: h.Exec.OnError,
				Timeout: orDefault(h.Exec.ExecTimeout), WaitTimeout: h.Exec.WaitTimeout,
				WaitForReady: h.Exec.WaitForReady != nil && *h.Exec.WaitForReady,
			}, pod, "spec.hooks.resources["+r.Name+"]: exec.container", h.Exec.Container))
		}
	}
	return found
}

func restoreSelector(r velerov1.RestoreResourceHookSpec) selector {
	return selector{r.IncludedNamespaces, r.ExcludedNamespaces, r.IncludedResources, r.ExcludedResources, r.LabelSelector}
}

// orDefault also replaces what ValidateBackup and ValidateRestore refuse, because
// a command without a limit may keep a pod frozen for ever.
func orDefault(d metav1.Duration) metav1.Duration {
	if d.Duration <= 0 {
		return metav1.Duration{Duration: DefaultTimeout}
	}
	return d
}

// selector says which pods an entry of a spec is for.
type selector struct {
	includedNamespaces, excludedNamespaces []string
	includedResources, excludedResources   []string
	labels                                 *metav1.LabelSelector
}

// everything is the entry that matches every name.
const everything = "*"

func (s selector) matches(pod *corev1.Pod, namespaces []string) bool {
	if len(s.includedNamespaces) > 0 && !anyMatches(s.includedNamespaces, namespaces) {
		return false
	}
	if anyMatches(s.excludedNamespaces, namespaces) {
		return false
	}
	if len(s.includedResources) > 0 && !slices.ContainsFunc(s.includedResources, isPods) {
		return false
	}
	if slices.ContainsFunc(s.excludedResources, isPods) {
		return false
	}
	if s.labels == nil {
		return true
	}
	l, err := metav1.LabelSelectorAsSelector(s.labels)
	return err == nil && l.Matches(labels.Set(pod.Labels)) // what cannot be read was refused before the start
}

// isPods accepts the names under which API discovery knows pods.
func isPods(resource string) bool {
	switch strings.ToLower(resource) {
	case everything, "pods", "pod", "po":
		return true
	default:
		return false
	}
}

func anyMatches(patterns, names []string) bool {
	for _, p := range patterns {
		for _, name := range names {
			if ok, err := path.Match(p, name); err == nil && ok {
				return true
			}
		}
	}
	return false
}
