package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/tests/suite"
)

// sender sends AdmissionReviews of pods in many namespaces to one address.
type sender struct {
	url        string
	client     *http.Client
	review     review
	namespace  func(i int) string
	namespaces int
}

// answer is what became of one request.
type answer struct {
	took time.Duration // since it was due
	err  error         // nil: the pod is stamped
}

// send sends requests at a rate, each when it is due, whatever became of the others:
// a server that is slow gets as many as one that is fast. It returns when all are
// answered.
func (s *sender) send(ctx context.Context, perSecond int, duration time.Duration) []answer {
	answers := make([]answer, int(duration.Seconds()*float64(perSecond)))
	var open sync.WaitGroup
	start := time.Now()
	for i := range answers {
		due := start.Add(time.Duration(i) * time.Second / time.Duration(perSecond))
		select {
		case <-ctx.Done():
			return answers[:i]
		case <-time.After(time.Until(due)):
		}
		open.Go(func() {
			err := s.post(ctx, i)
			answers[i] = answer{took: time.Since(due), err: err}
		})
	}
	open.Wait()
	return answers
}

// warmUp makes the connection, and waits until the replica knows the namespace that
// was made last.
func (s *sender) warmUp(ctx context.Context) error {
	var last error
	err := wait.PollUntilContextTimeout(ctx, pollInterval, suite.Short, true, func(ctx context.Context) (bool, error) {
		last = s.post(ctx, s.namespaces-1)
		return last == nil, nil
	})
	if err != nil {
		return fmt.Errorf("waiting for an answer: %w", errors.Join(last, err))
	}
	return nil
}

// post sends the request with a number and checks that the answer stamps the pod.
func (s *sender) post(ctx context.Context, i int) error {
	body := s.review.body(strconv.Itoa(i), s.namespace(i%s.namespaces))
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := s.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var got admissionv1.AdmissionReview
	if err := json.NewDecoder(resp.Body).Decode(&got); err != nil {
		return fmt.Errorf("decoding the answer: %w", err)
	}
	switch {
	case got.Response == nil || !got.Response.Allowed:
		return fmt.Errorf("the pod is not admitted: %+v", got.Response)
	case !bytes.Contains(got.Response.Patch, []byte("selected-volumes")):
		return errors.New("the pod is not stamped")
	default:
		return nil
	}
}

// review is an AdmissionReview in three parts: between the first two is the UID,
// between the last two the namespace.
type review [3][]byte

// Places in the text of a review.
const (
	uidPlace       = "PLACE-OF-UID"
	namespacePlace = "PLACE-OF-NAMESPACE"
)

// newReview builds the request for a pod of an ordinary size: two containers, five
// volumes, what the API server adds, about 6 KB.
func newReview() review {
	pod, err := json.Marshal(newLoadPod())
	if err != nil {
		panic(err) // our own value
	}
	text, err := json.Marshal(admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"},
		Request: &admissionv1.AdmissionRequest{
			UID: uidPlace, Namespace: namespacePlace, Name: "app-0", Operation: admissionv1.Create,
			Kind:     metav1.GroupVersionKind{Version: "v1", Kind: "Pod"},
			Resource: metav1.GroupVersionResource{Version: "v1", Resource: "pods"},
			Object:   runtime.RawExtension{Raw: pod},
		},
	})
	if err != nil {
		panic(err)
	}
	head, rest, _ := bytes.Cut(text, []byte(uidPlace))
	middle, tail, _ := bytes.Cut(rest, []byte(namespacePlace))
	return review{head, middle, tail}
}

func (r review) body(uid, namespace string) []byte {
	return bytes.Join([][]byte{r[0], []byte(uid), r[1], []byte(namespace), r[2]}, nil)
}

func newLoadPod() *corev1.Pod {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Name: "app-0", Labels: map[string]string{"app.kubernetes.io/name": "app", "app.kubernetes.io/instance": "bench"},
		Annotations: map[string]string{velerov1.VolumesToBackupAnnotation: "data,logs", velerov1.VolumesToExcludeAnnotation: "scratch"},
		ManagedFields: []metav1.ManagedFieldsEntry{{
			Manager: "kube-controller-manager", Operation: metav1.ManagedFieldsOperationUpdate, FieldsV1: metav1.NewFieldsV1(managedFields()),
		}},
	}}
	for _, name := range []string{"data", "logs", "scratch"} {
		pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}})
	}
	pod.Spec.Volumes = append(pod.Spec.Volumes,
		corev1.Volume{Name: "config", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "config"}}}},
		corev1.Volume{Name: "claim", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "claim"}}})
	for _, name := range []string{"app", "proxy"} {
		c := corev1.Container{
			Name: name, Image: "registry.example.com/team/" + name + ":v1.2.3", Command: []string{"/bin/" + name, "--config=/config/settings.yaml"},
			Resources: corev1.ResourceRequirements{
				Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m"), corev1.ResourceMemory: resource.MustParse("128Mi")},
			},
		}
		for i := range 15 {
			c.Env = append(c.Env, corev1.EnvVar{Name: fmt.Sprintf("SETTING_%d", i), Value: "some value of a setting"})
		}
		for _, v := range pod.Spec.Volumes {
			c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: v.Name, MountPath: "/" + v.Name})
		}
		pod.Spec.Containers = append(pod.Spec.Containers, c)
	}
	return pod
}

// managedFields is about what the API server has for such a pod.
func managedFields() string {
	fields := map[string]any{}
	for i := range 40 {
		fields[fmt.Sprintf("f:field-%d", i)] = map[string]any{".": map[string]any{}, "f:name": map[string]any{}}
	}
	raw, err := json.Marshal(fields)
	if err != nil {
		panic(err)
	}
	return string(raw)
}
