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
	initContainersPath = "/spec/initContainers"
)

// podPatch returns the operations that turn before into after, where after is
// what the injector makes of before.
//
// It touches annotations by key and gates by index and nothing else. A patch from
// the difference of two JSON texts would also work on fields of containers, and
// would drop fields of newer API servers that this build does not know.
func podPatch(before, after *corev1.Pod) []jsonpatch.Operation {
	return append(annotationsPatch(before, after), gatesPatch(before, after)...)
}

func annotationsPatch(before, after *corev1.Pod) []jsonpatch.Operation {
	if before.Annotations == nil {
		if len(after.Annotations) == 0 {
			return nil
		}
		return []jsonpatch.Operation{jsonpatch.NewOperation("add", annotationsPath, after.Annotations)}
	}
	var ops []jsonpatch.Operation
	for _, key := range slices.Sorted(maps.Keys(before.Annotations)) {
		if _, kept := after.Annotations[key]; !kept {
			ops = append(ops, jsonpatch.NewOperation("remove", annotationPath(key), nil))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(after.Annotations)) {
		old, found := before.Annotations[key]
		if !found || old != after.Annotations[key] {
			// "add" replaces a key that is there (RFC 6902 §4.1).
			ops = append(ops, jsonpatch.NewOperation("add", annotationPath(key), after.Annotations[key]))
		}
	}
	return ops
}

// annotationPath escapes a key as RFC 6901 §3 says.
func annotationPath(key string) string {
	return annotationsPath + "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(key)
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
