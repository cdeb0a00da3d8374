{{/* The name of everything: short enough for a pod's name to be an INSTANCE_ID, of at most 64 characters. */}}
{{- define "roomcast.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 38 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) | trunc 38 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* What never changes, since selectors may not. Takes (dict "root" $ "component" "gateway"). */}}
{{- define "roomcast.selector" -}}
app.kubernetes.io/name: {{ default .root.Chart.Name .root.Values.nameOverride }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "roomcast.labels" -}}
{{ include "roomcast.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: roomcast
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "roomcast.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "roomcast.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "roomcast.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ default $.Chart.AppVersion .tag }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The parts of gracePeriod, in seconds. */}}
{{- define "roomcast.preStop" -}}
{{- min 10 (max 2 (div (int .Values.gracePeriod) 7)) -}}
{{- end -}}
{{- define "roomcast.shutdownGrace" -}}
{{- sub (sub (int .Values.gracePeriod) 5) (int (include "roomcast.preStop" .)) -}}
{{- end -}}

{{/* The variable with the broker's address, if there is one. */}}
{{- define "roomcast.brokerVariable" -}}
{{- get (dict "redis" "REDIS_URL" "rabbitmq" "RABBITMQ_URL") .Values.transport -}}
{{- end -}}

{{/* Whether the apps are told this variable, wherever from. Takes (dict "root" $ "name" "API_KEYS"). */}}
{{- define "roomcast.told" -}}
{{- $extra := dict -}}
{{- range .root.Values.extraEnv -}}{{- $_ := set $extra .name true -}}{{- end -}}
{{- if or (hasKey (default dict .root.Values.secrets) .name) (hasKey (default dict .root.Values.settings) .name) (hasKey $extra .name) -}}
true
{{- end -}}
{{- end -}}

{{/* A value as the apps read it: numbers without an exponent, objects as JSON. */}}
{{- define "roomcast.value" -}}
{{- if kindIs "map" . -}}
{{- toJson . -}}
{{- else if and (kindIs "float64" .) (eq . (floor .)) -}}
{{- printf "%.0f" . -}}
{{- else if kindIs "float64" . -}}
{{- printf "%.6f" . | trimSuffix "0" | trimSuffix "0" | trimSuffix "0" | trimSuffix "0" | trimSuffix "0" -}}
{{- else -}}
{{- toString . -}}
{{- end -}}
{{- end -}}

{{/* What the schema cannot say: what goes with what. */}}
{{- define "roomcast.check" -}}
{{- with .Values -}}
{{- if eq .transport "memory" -}}
{{- if or (gt (int .gateway.replicas) 1) .gateway.autoscaling.enabled -}}
{{- fail "transport: memory reaches one pod only, so that clients on others would not hear each other. Set gateway.replicas=1 and gateway.autoscaling.enabled=false, or transport=redis or rabbitmq." -}}
{{- end -}}
{{- if .worker.enabled -}}
{{- fail "transport: memory reaches one pod only, so that no worker would hear of anything. Set worker.enabled=false, or transport=redis or rabbitmq." -}}
{{- end -}}
{{- end -}}
{{- range $component := list "gateway" "worker" -}}
{{- with (get $.Values $component).autoscaling -}}
{{- if and .enabled (gt (int .minReplicas) (int .maxReplicas)) -}}
{{- fail (printf "%s.autoscaling.minReplicas: %d is more than maxReplicas, %d." $component (int .minReplicas) (int .maxReplicas)) -}}
{{- end -}}
{{- if and .enabled (not .cpu.enabled) (not (dig "connections" "enabled" false .)) -}}
{{- fail (printf "%s.autoscaling: on, but with nothing to go by. Enable cpu%s, or set enabled=false." $component (eq $component "gateway" | ternary " or connections" "")) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and (or (include "roomcast.brokerVariable" $) .secrets) (not .existingSecret) -}}
{{- range $variable := append (keys (default dict .secrets)) (include "roomcast.brokerVariable" $) | compact | uniq | sortAlpha -}}
{{- if not (dig $variable "name" "" (default dict $.Values.secrets)) -}}
{{- fail (printf "existingSecret: name the Secret that holds %s, or say where it is in secrets.%s.name." $variable $variable) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and (hasKey (default dict .secrets) "REDIS_URL") (ne .transport "redis") -}}
{{- fail (printf "secrets.REDIS_URL: has no meaning where transport is %s. Leave it out, or set transport=redis." .transport) -}}
{{- end -}}
{{- if and (hasKey (default dict .secrets) "RABBITMQ_URL") (ne .transport "rabbitmq") -}}
{{- fail (printf "secrets.RABBITMQ_URL: has no meaning where transport is %s. Leave it out, or set transport=rabbitmq." .transport) -}}
{{- end -}}
{{- if and .ingress.enabled (not .ingress.paths) -}}
{{- fail "ingress.paths: an Ingress without a path leads nowhere. Name at least /socket.io/, or set ingress.enabled=false." -}}
{{- end -}}
{{- $name := include "roomcast.fullname" $ -}}
{{- if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" $name) -}}
{{- fail (printf "fullnameOverride: the release would be called %s, which no Service may be. Set one that begins with a letter and has only a-z 0-9 -" $name) -}}
{{- end -}}
{{- range $place, $labels := dict "gateway.podLabels" .gateway.podLabels "worker.podLabels" .worker.podLabels "serviceMonitor.labels" .serviceMonitor.labels -}}
{{- range $label := keys (default dict $labels) | sortAlpha -}}
{{- if has $label (include "roomcast.labels" (dict "root" $ "component" "any") | fromYaml | keys) -}}
{{- fail (printf "%s: %s is a label that the chart sets itself. Leave it out." $place $label) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $settings := default dict .settings -}}
{{- $signed := toString (default false $settings.BROADCAST_REQUIRE_SIGNED) -}}
{{- if and (has $signed (list "true" "1")) (not (include "roomcast.told" (dict "root" $ "name" "BROADCAST_SECRET"))) -}}
{{- fail "settings.BROADCAST_REQUIRE_SIGNED: needs a BROADCAST_SECRET to verify signatures with. Put it in the Secret, and set secrets.BROADCAST_SECRET={}." -}}
{{- end -}}
{{- $open := or (has (toString (default false $settings.AUTH_ANONYMOUS)) (list "true" "1")) (include "roomcast.told" (dict "root" $ "name" "AUTH_JWKS_URL")) (include "roomcast.told" (dict "root" $ "name" "AUTH_JWT_SECRET")) -}}
{{- range .extraEnv -}}{{- if eq .name "AUTH_ANONYMOUS" -}}{{- $open = true -}}{{- end -}}{{- end -}}
{{- if not $open -}}
{{- fail "access: no client could enter, and gateways would not start. Put AUTH_JWT_SECRET in the Secret and set secrets.AUTH_JWT_SECRET={} (with helm: --set-json 'secrets.AUTH_JWT_SECRET={}'), or set settings.AUTH_JWKS_URL=https://…; or, to let everybody in, settings.AUTH_ANONYMOUS=true." -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The environment of a container. */}}
{{- define "roomcast.environment" -}}
- name: NODE_ENV
  value: production
- name: INSTANCE_ID
  valueFrom: { fieldRef: { fieldPath: metadata.name } }
- name: BROADCAST_TRANSPORT
  value: {{ .root.Values.transport }}
- name: SHUTDOWN_GRACE
  value: {{ include "roomcast.shutdownGrace" .root }}s
# Apart from the clients' port, which may be open to the world.
- name: METRICS_PORT
  value: '9464'
{{- if eq .component "gateway" }}
- name: PORT
  value: '3000'
- name: CLIENT_TRANSPORTS
  value: {{ .root.Values.stickySessions | ternary "polling,websocket" "websocket" }}
{{- if and .root.Values.ingress.enabled (not (include "roomcast.told" (dict "root" .root "name" "TRUST_PROXY"))) }}
# The Ingress is a proxy: without, all clients would have its address, and share that address's limits.
- name: TRUST_PROXY
  value: '1'
{{- end }}
{{- end }}
{{- $secrets := default dict .root.Values.secrets }}
{{- with include "roomcast.brokerVariable" .root }}
{{- $secrets = merge (dict) $secrets (dict . (dict)) }}
{{- end }}
{{- range $variable, $reference := $secrets }}
- name: {{ $variable }}
  valueFrom:
    secretKeyRef:
      name: {{ default $.root.Values.existingSecret (get (default dict $reference) "name") | quote }}
      key: {{ default $variable (get (default dict $reference) "key") | quote }}
{{- end }}
{{- range $variable, $value := .root.Values.settings }}
- name: {{ $variable }}
  value: {{ include "roomcast.value" $value | quote }}
{{- end }}
{{- with .root.Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* A pod of gateway or worker, but for its container. */}}
{{- define "roomcast.pod" -}}
serviceAccountName: {{ include "roomcast.serviceAccount" .root }}
automountServiceAccountToken: false
enableServiceLinks: false
terminationGracePeriodSeconds: {{ int .root.Values.gracePeriod }}
securityContext:
  runAsNonRoot: true
  runAsUser: 1000
  runAsGroup: 1000
  seccompProfile: { type: RuntimeDefault }
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
topologySpreadConstraints:
{{- if .values.topologySpreadConstraints }}
  {{- toYaml .values.topologySpreadConstraints | nindent 2 }}
{{- else }}
{{- range $key := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - topologyKey: {{ $key }}
    maxSkew: 1
    whenUnsatisfiable: ScheduleAnyway
    # Of one version, so that the old pods of a rollout do not count.
    matchLabelKeys: [pod-template-hash]
    labelSelector:
      matchLabels:
        {{- include "roomcast.selector" $ | nindent 8 }}
{{- end }}
{{- end }}
{{- with .root.Values.extraVolumes }}
volumes:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* What the container of a pod has, whichever it is. */}}
{{- define "roomcast.container" -}}
image: {{ include "roomcast.image" .root | quote }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
env:
  {{- include "roomcast.environment" . | nindent 2 }}
lifecycle:
  preStop: { sleep: { seconds: {{ include "roomcast.preStop" .root }} } }
resources:
  {{- toYaml .values.resources | nindent 2 }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: { drop: [ALL] }
{{- with .root.Values.extraVolumeMounts }}
volumeMounts:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
