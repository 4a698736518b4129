package webhook

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"gomodules.xyz/jsonpatch/v2"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"

	"github.com/podkeep/podkeep/injector"
)

const (
	annotationsPath    = "/metadata/annotations"
	labelsPath         = "/metadata/labels"
	initContainersPath = "/spec/initContainers"
	volumesPath        = "/spec/volumes"
)

// podPatch returns the operations that turn before into after, where after is
// what the injector makes of before.
//
// It touches labels and annotations by key, gates and the volume of their notices
// by index, and nothing else. A patch from the difference of two JSON texts would
// also work on fields of containers, and would drop fields of newer API servers
// that this build does not know.
func podPatch(before, after *corev1.Pod) []jsonpatch.Operation {
	return slices.Concat(
		mapPatch(labelsPath, before.Labels, after.Labels),
		mapPatch(annotationsPath, before.Annotations, after.Annotations),
		gatesPatch(before, after),
		noticesPatch(before, after),
	)
}

// mapPatch turns the map at path into another one, key by key.
func mapPatch(path string, before, after map[string]string) []jsonpatch.Operation {
	if before == nil {
		if len(after) == 0 {
			return nil
		}
		return []jsonpatch.Operation{jsonpatch.NewOperation("add", path, after)}
	}
	var ops []jsonpatch.Operation
	for _, key := range slices.Sorted(maps.Keys(before)) {
		if _, kept := after[key]; !kept {
			ops = append(ops, jsonpatch.NewOperation("remove", keyPath(path, key), nil))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(after)) {
		old, found := before[key]
		if !found || old != after[key] {
			// "add" replaces a key that is there (RFC 6902 §4.1).
			ops = append(ops, jsonpatch.NewOperation("add", keyPath(path, key), after[key]))
		}
	}
	return ops
}

// keyPath escapes a key as RFC 6901 §3 says.
func keyPath(path, key string) string {
	return path + "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(key)
}

// noticesPatch removes the volume of the notices that only before has, and adds
// the one that only after has, which is its last volume.
func noticesPatch(before, after *corev1.Pod) []jsonpatch.Operation {
	isNotices := func(v corev1.Volume) bool { return v.Name == injector.NoticeVolume }
	had, has := slices.IndexFunc(before.Spec.Volumes, isNotices), slices.IndexFunc(after.Spec.Volumes, isNotices)
	switch {
	case had >= 0 && has >= 0, had < 0 && has < 0:
		return nil
	case had >= 0:
		return []jsonpatch.Operation{jsonpatch.NewOperation("remove", volumesPath+"/"+strconv.Itoa(had), nil)}
	case len(before.Spec.Volumes) == 0:
		return []jsonpatch.Operation{jsonpatch.NewOperation("add", volumesPath, after.Spec.Volumes[has:])}
	default:
		return []jsonpatch.Operation{jsonpatch.NewOperation("add", volumesPath+"/-", after.Spec.Volumes[has])}
	}
}

// gatesPatch removes the gates of before, last first so that indexes stay right,
// and adds the gate of after, which is the first init container when there is
// one. A gate that was kept is left alone.
func gatesPatch(before, after *corev1.Pod) []jsonpatch.Operation {
	old, current := gateIndexes(before), gateIndexes(after)
	if apiequality.Semantic.DeepEqual(before.Spec.InitContainers, after.Spec.InitContainers) {
		return nil
	}
	var ops []jsonpatch.Operation
	for _, i := range slices.Backward(old) {
		ops = append(ops, jsonpatch.NewOperation("remove", initContainersPath+"/"+strconv.Itoa(i), nil))
	}
	if len(current) == 0 {
		return ops
	}
	if len(before.Spec.InitContainers) == 0 {
		return append(ops, jsonpatch.NewOperation("add", initContainersPath, after.Spec.InitContainers[:1]))
	}
	return append(ops, jsonpatch.NewOperation("add", initContainersPath+"/0", after.Spec.InitContainers[0]))
}

func gateIndexes(pod *corev1.Pod) []int {
	var indexes []int
	for i, c := range pod.Spec.InitContainers {
		if injector.IsGate(c) {
			indexes = append(indexes, i)
		}
	}
	return indexes
}
