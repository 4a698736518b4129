package webhook

import (
	"encoding/json"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"testing"

	jsonpatch "github.com/evanphx/json-patch/v5"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	utiljson "k8s.io/apimachinery/pkg/util/json"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/selection"
	"github.com/podkeep/podkeep/webhook/registration"
)

// fuzzedWorld has a restore that goes on and fills claim "data" of namespace shop, and
// one that is over.
func fuzzedWorld() *world {
	over := restore("shop-0", velerov1.RestorePhaseCompleted)
	over.UID = "over-uid"
	return worldWith(
		over, namespaceWith("shop", velerov1.FSBackupOptOut), claimOf("shop", "data", "claim-uid"), volumeRestore("claim-uid", velerov1.PodVolumeRestorePhaseInProgress),
		restore("shop-1", velerov1.RestorePhaseInProgress), gateConfigMap("gate", map[string]string{"memLimit": "0"}),
	)
}

// FuzzAdmissionReview posts any bytes to what the webhook serves. Whatever comes, the
// answer is a well-formed AdmissionReview; a webhook that warns allows; and no pod that
// a restore in progress fills is admitted without its gate in the first place.
func FuzzAdmissionReview(f *testing.F) {
	handler := served(f, fuzzedWorld(), fuzzedWorld())
	paths := slices.Sorted(maps.Keys(metricNames))
	for _, body := range fuzzSeeds(f) {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, path := range paths {
			recorder := post(t, handler, path, body)
			answer := answerOf(t, recorder)
			if path == registration.WarningsPath && !answer.Allowed && answer.Result.Code != http.StatusBadRequest {
				t.Fatalf("a webhook that warns has refused: %s", recorder.Body)
			}
			if !answer.Allowed && answer.Result.Message == "" {
				t.Fatalf("%s refuses without a reason: %s", path, recorder.Body)
			}
			if path == registration.GatePath || path == registration.GuardPath {
				checkGate(t, path, body, answer)
			}
		}
	})
}

// fuzzSeeds are requests as API servers send them. Those that none sends are in
// testdata.
func fuzzSeeds(tb testing.TB) [][]byte {
	tb.Helper()
	seeds := [][]byte{
		nil, []byte("{"), []byte("null"), []byte(`{"request":null}`), []byte(`{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1"}`),
		request(tb, podKind, podWith(volumes("data"), restored("data")), nil),
		request(tb, podKind, podWith(volumes("data"), restored("data"), initContainer("seed"), oldGate), nil),
		request(tb, podKind, podWith(volumes("data"), restored("logs")), nil),
		request(tb, podKind, podWith(claimVolume("data"), include("data, dta")), nil),
		request(tb, podKind, podWith(claimVolume("data"), oldGate, mirror), nil),
		request(tb, podKind, podWith(volumes("data"), include("data")), podWith(volumes("data"))),
		request(tb, configMapKind, nodeAgentConfig(`{"podResources":{"cpuLimit":"much"}}`), nodeAgentConfig(`{}`)),
		request(tb, configMapKind, gateConfigMap("gate", map[string]string{"secCtx": "runAsUser: x"}), nil),
		request(tb, backupKind, backup(velerov1.BackupSpec{IncludedNamespaces: []string{"["}}, ""), nil),
		request(tb, deploymentKind, deployment(claimVolume("data"), include("dta")), nil),
	}
	return seeds
}

// checkGate fails when a pod would be created that has to wait and does not.
func checkGate(t *testing.T, path string, body []byte, answer *admissionv1.AdmissionResponse) {
	t.Helper()
	var review admissionv1.AdmissionReview
	if !answer.Allowed || utiljson.Unmarshal(body, &review) != nil || review.Request == nil {
		return
	}
	before, ok := podOf(review.Request.Object.Raw)
	if !ok || isMirror(before) || !mustWait(path, review.Request.Namespace, before) {
		return
	}
	after, ok := patched(review.Request.Object.Raw, answer.Patch)
	if !ok {
		t.Fatalf("%s: the patch does not fit: %s on %s", path, answer.Patch, review.Request.Object.Raw)
	}
	if len(after.Spec.InitContainers) == 0 {
		t.Fatalf("%s admits a pod without a gate: %s", path, body)
	}
	if gate := after.Spec.InitContainers[0]; gate.Name != "restore-wait" || !slices.Equal(gate.Args, []string{"restore-uid"}) {
		t.Fatalf("%s admits a pod whose first init container is %+v: %s", path, gate, body)
	}
}

// mustWait says whether a pod is one that the restore in progress fills: by its label
// and its list, or, where other pods are looked at, by its claim.
func mustWait(path, namespace string, pod *corev1.Pod) bool {
	if path == registration.GatePath {
		return pod.Labels[velerov1.RestoreNameLabel] == "shop-1" && len(restoreVolumes(pod)) > 0
	}
	return namespace == "shop" && slices.ContainsFunc(pod.Spec.Volumes, func(v corev1.Volume) bool {
		claim, ok := selection.ClaimName(pod, v)
		return ok && claim == "data"
	})
}

// podOf decodes a pod as the API server writes one: not with the same key twice, which
// decoders read in different ways.
func podOf(raw []byte) (*corev1.Pod, bool) {
	var once, twice corev1.Pod
	var anything any
	if utiljson.Unmarshal(raw, &once) != nil || json.Unmarshal(raw, &anything) != nil {
		return nil, false
	}
	canonical, err := json.Marshal(anything)
	if err != nil || utiljson.Unmarshal(canonical, &twice) != nil || !reflect.DeepEqual(once, twice) {
		return nil, false
	}
	return &once, true
}

// patched applies the answer to a pod as the API server does.
func patched(raw, operations []byte) (*corev1.Pod, bool) {
	if len(operations) > 0 {
		patch, err := jsonpatch.DecodePatch(operations)
		if err != nil {
			return nil, false
		}
		if raw, err = patch.Apply(raw); err != nil {
			return nil, false
		}
	}
	pod := &corev1.Pod{}
	return pod, utiljson.Unmarshal(raw, pod) == nil
}

// FuzzRestoredPod makes pods of any texts in the places that decide about the gate, and
// asks the same of the answers: bytes alone seldom become such a pod.
func FuzzRestoredPod(f *testing.F) {
	handler := served(f, fuzzedWorld(), fuzzedWorld())
	f.Add("shop-1", "data", "data", "seed,restore-wait", "data")
	f.Add("shop-1", " data , logs,", "data,logs", "restore-wait,restore-wait,restic-wait", "")
	f.Add("shop-0", "data", "data", "", "free")
	f.Add("shop-2", "data", "data", "restore-wait", "data")
	f.Add("shop-1", "missing", "data", "", "data")
	f.Add("", "", "data", "sidecar", "data")
	f.Add("shop-1", "~0/1,data", "~0/1,data", "restore-wait", "")
	f.Fuzz(func(t *testing.T, label, list, names, inits, claim string) {
		pod := podWith()
		pod.Labels = map[string]string{velerov1.RestoreNameLabel: label}
		pod.Annotations = map[string]string{velerov1.RestoreVolumesAnnotation: list, velerov1.VolumesToBackupAnnotation: names}
		for _, name := range selection.ParseList(names) {
			volumes(name)(pod)
		}
		for _, name := range selection.ParseList(inits) {
			initContainer(name)(pod)
		}
		if claim != "" {
			pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: "claim", VolumeSource: corev1.VolumeSource{
				PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim},
			}})
		}
		body := request(t, podKind, pod, nil)
		for _, path := range []string{registration.GatePath, registration.GuardPath, registration.SelectionPath, registration.WarningsPath} {
			answer := answerOf(t, post(t, handler, path, body))
			if path == registration.GatePath || path == registration.GuardPath {
				checkGate(t, path, body, answer)
			}
			if path == registration.SelectionPath && !answer.Allowed {
				t.Fatalf("the selection webhook has refused: %s", body)
			}
		}
	})
}
