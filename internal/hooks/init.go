package hooks

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

const (
	// InitNamePrefix begins the names of init containers that have none of their own
	// (velero-facts §3.4).
	InitNamePrefix = "velero-restore-init-"

	// initNameDigits is how many hex digits follow it.
	initNameDigits = 8
)

// InitContainers returns the containers to put before the init containers of a
// restored pod, in order. namespaces are those of ForRestore. Fields that this
// version of the API does not know are kept. The problems say why the pod cannot
// have what it asks for: it must not start without.
func InitContainers(pod *corev1.Pod, namespaces []string, r *velerov1.Restore) ([]map[string]any, []Problem) {
	if _, ok := pod.Annotations[velerov1.InitRestoreHookContainerImageAnnotation]; ok {
		return annotatedInit(pod, r.UID)
	}
	var all []map[string]any
	for i, entry := range r.Spec.Hooks.Resources {
		if !restoreSelector(entry).matches(pod, namespaces) {
			continue
		}
		for j, h := range entry.PostHooks {
			containers, problems := specInit(fmt.Sprintf("spec.hooks.resources[%d].postHooks[%d].init.initContainers", i, j), h.Init)
			if len(problems) > 0 {
				return nil, problems
			}
			all = append(all, containers...)
		}
	}
	return all, nil
}

// annotatedInit is the one container that annotations can ask for. Without a
// command it runs that of its image; Velero fails there (velero-facts §12, 12).
func annotatedInit(pod *corev1.Pod, restore types.UID) ([]map[string]any, []Problem) {
	read := func(key string) string { return pod.Annotations[key] }
	invalid := func(key, rule string) ([]map[string]any, []Problem) {
		return nil, []Problem{{Field: "annotation " + key, Value: read(key), Rule: rule}}
	}
	image := read(velerov1.InitRestoreHookContainerImageAnnotation)
	if strings.TrimSpace(image) == "" {
		return invalid(velerov1.InitRestoreHookContainerImageAnnotation, "must be the image of the init container, or absent")
	}
	name := read(velerov1.InitRestoreHookContainerNameAnnotation)
	if name == "" {
		sum := sha256.Sum256([]byte(string(restore) + "/" + pod.Namespace + "/" + pod.Name))
		name = InitNamePrefix + hex.EncodeToString(sum[:])[:initNameDigits]
	}
	if len(validation.IsDNS1123Label(name)) > 0 {
		return invalid(velerov1.InitRestoreHookContainerNameAnnotation, "must be a DNS label, or absent")
	}
	c := map[string]any{"name": name, "image": image}
	if raw := read(velerov1.InitRestoreHookCommandAnnotation); raw != "" {
		command, err := parseCommand(raw)
		if err != nil {
			return invalid(velerov1.InitRestoreHookCommandAnnotation, err.Error())
		}
		c["command"] = toAny(command)
	}
	return []map[string]any{c}, nil
}

func specInit(field string, h *velerov1.InitRestoreHook) ([]map[string]any, []Problem) {
	if h == nil {
		return nil, nil
	}
	var all []map[string]any
	for i, raw := range h.InitContainers {
		var c map[string]any
		if err := json.Unmarshal(raw.Raw, &c); err != nil || c == nil {
			// Refused before the start; a Restore may be changed after it.
			return nil, []Problem{{Field: fmt.Sprintf("%s[%d]", field, i), Value: string(raw.Raw), Rule: "must be a container"}}
		}
		all = append(all, c)
	}
	return all, nil
}

func toAny(words []string) []any {
	all := make([]any, 0, len(words))
	for _, w := range words {
		all = append(all, w)
	}
	return all
}
